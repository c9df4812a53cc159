//! The image name in a signature: a registry and a repository, without tag or digest.

use std::fmt;
use std::str::FromStr;

use oci::{Reference, RegistryHost, RepositoryName};

use crate::{Error, Result};

/// `HOST/REPOSITORY`. The two names of Docker Hub are equal: cosign writes `index.docker.io`. A host is equal with and
/// without the port of HTTPS: clients reach the same registry under both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    host: RegistryHost,
    repository: RepositoryName,
}

impl ImageName {
    /// Joins the two parts of a name.
    #[must_use]
    pub fn new(host: &RegistryHost, repository: RepositoryName) -> Self {
        Self { host: host.without_default_port(), repository }
    }
}

impl From<&Reference> for ImageName {
    fn from(reference: &Reference) -> Self {
        Self::new(reference.host(), reference.repository().clone())
    }
}

impl FromStr for ImageName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || Error::ImageName(text.to_owned());
        let name = Self::from(&text.parse::<Reference>().map_err(|_| invalid())?);
        // A reference may be short or have a tag; a signed name is the full name and no more.
        let whole = name.to_string();
        let hub = text.strip_prefix("index.").unwrap_or(text);
        let port = hub.split_once('/').and_then(|(host, path)| Some((host.strip_suffix(":443")?, path)));
        let same = port.is_some_and(|(host, path)| whole == format!("{host}/{path}"));
        if whole == text || whole == hub || same { Ok(name) } else { Err(invalid()) }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_host_and_repository_and_nothing_else() {
        for (text, whole) in [
            ("registry.example:5000/a/b", "registry.example:5000/a/b"),
            ("docker.io/library/nginx", "docker.io/library/nginx"),
            ("index.docker.io/library/nginx", "docker.io/library/nginx"),
            ("registry.example:443/a/b", "registry.example/a/b"),
            ("[::1]:443/a", "[::1]/a"),
        ] {
            assert_eq!(text.parse::<ImageName>().unwrap().to_string(), whole);
        }
        let digest = format!("r.example/a@sha256:{}", "a".repeat(64));
        for text in
            ["", "nginx", "r.example/a:1", "r.example/a:latest", &digest, "r.example/A", " r.example/a"]
        {
            assert!(matches!(text.parse::<ImageName>(), Err(Error::ImageName(_))), "{text}");
        }
    }
}
