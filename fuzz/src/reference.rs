//! Any text as a reference and as each of its parts; what is read is written so that it reads alike.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use oci::{Digest, MediaType, Platform, Reference, RegistryHost, RepositoryName, Selector, Tag};

/// One run.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    alike::<Reference>(text);
    alike::<RegistryHost>(text);
    alike::<RepositoryName>(text);
    alike::<Tag>(text);
    alike::<Selector>(text);
    alike::<Digest>(text);
    alike::<MediaType>(text);
    alike::<Platform>(text);
}

fn alike<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert_eq!(read.to_string().parse::<T>().expect("it was written here"), read);
    }
}
