//! Tags (distribution specification 1.1, "Pulling manifests", grammar of `<reference>` as a tag).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Digest, Error};

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

impl Tag {
    /// The longest tag, in bytes.
    pub const MAX_LEN: usize = 128;

    /// The tag under which clients store a subject's referrers in a registry without the referrers API
    /// (distribution specification 1.1, "Referrers Tag Schema"): `alg-hex`, truncated to 32 and 64 characters.
    #[must_use]
    pub fn of_referrers(subject: &Digest) -> Self {
        let hex = subject.hex();
        Self(format!("{}-{}", subject.algorithm(), &hex[..hex.len().min(64)]))
    }

    /// The tag under which cosign stores the attachment of a digest, for example with the suffix `sig`
    /// (cosign specification, "Tag-based discovery").
    ///
    /// # Errors
    /// [`Error::Tag`] when the result is too long for a tag, as it is for SHA-512.
    pub fn of_attachment(subject: &Digest, suffix: &str) -> Result<Self, Error> {
        format!("{}-{}.{suffix}", subject.algorithm(), subject.hex()).parse()
    }

    /// Whether this is a tag under which cosign stores an attachment.
    #[must_use]
    pub fn is_attachment(&self) -> bool {
        self.attached_to().is_some()
    }

    /// The digest whose attachment cosign stores under this tag.
    #[must_use]
    pub fn attached_to(&self) -> Option<Digest> {
        let (subject, suffix) = self.0.split_once('.')?;
        let digest = subject.replacen('-', ":", 1).parse::<Digest>().ok()?;
        Self::of_attachment(&digest, suffix).is_ok_and(|tag| tag == *self).then_some(digest)
    }

    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let good = text.len() <= Self::MAX_LEN
            && text.bytes().next().is_some_and(word)
            && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-');
        if good { Ok(Self(text.to_owned())) } else { Err(Error::Tag(text.to_owned())) }
    }
}

impl TryFrom<String> for Tag {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;

    #[test]
    fn grammar() {
        for good in ["latest", "v1.2-3_4", "_", "A", "0"] {
            assert!(good.parse::<Tag>().is_ok(), "{good}");
        }
        for bad in ["", ".a", "-a", "a/b", "a:b", "a+b", "a b"] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
        assert!("a".repeat(128).parse::<Tag>().is_ok());
        assert!("a".repeat(129).parse::<Tag>().is_err());
    }

    #[test]
    fn referrers_tag_is_truncated_and_attachment_tag_is_not() {
        let long = Digest::of(Algorithm::Sha512, b"x");
        assert_eq!(Tag::of_referrers(&long).as_str().len(), 7 + 64);
        assert!(Tag::of_attachment(&long, "sig").is_err());
        let short = Digest::sha256(b"x");
        assert_eq!(
            Tag::of_attachment(&short, "sig").unwrap().as_str(),
            format!("sha256-{}.sig", short.hex())
        );
        assert!(Tag::of_attachment(&short, "att").unwrap().is_attachment());
        for other in ["v1", "sha256-ab.sig", "1.2.3", Tag::of_referrers(&short).as_str()] {
            assert!(!other.parse::<Tag>().unwrap().is_attachment(), "{other}");
        }
    }
}
