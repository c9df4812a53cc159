//! Image references with Docker's short forms (distribution/reference: `normalize.go`, `reference.go`).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Digest, Error, RepositoryName, Tag};

/// The endpoint of Docker Hub. In a reference it would be a second name for the same images.
const HUB_ENDPOINT: &str = "registry-1.docker.io";

/// A registry's host with an optional port, as in a reference: lower case, without a trailing dot, IP addresses in
/// canonical form, the port without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegistryHost(String);

impl RegistryHost {
    /// The registry of a reference without a host.
    pub const DOCKER_HUB: &'static str = "docker.io";

    /// Host and port as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host to connect to: `docker.io` is served by `registry-1.docker.io`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        if self.0 == Self::DOCKER_HUB { HUB_ENDPOINT } else { &self.0 }
    }

    /// The same host without the default port of HTTPS: both names lead a client to the same registry.
    #[must_use]
    pub fn without_default_port(&self) -> Self {
        Self(self.0.strip_suffix(":443").unwrap_or(&self.0).to_owned())
    }

    /// Whether the host names this machine's loopback interface.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = match self.0.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.0.split(':').next().unwrap_or_default(),
        };
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The host as the first component of a repository name: `:` before a port becomes `-`, and an IPv6 address is
    /// written in full, with `-` between its groups.
    ///
    /// # Errors
    /// [`Error::RepositoryName`] for a host that is too long.
    pub fn as_repository(&self) -> Result<RepositoryName, Error> {
        let Some((address, port)) = self.0.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
            return self.0.replace(':', "-").parse();
        };
        // The short form may begin with a colon, and a name may not begin with a hyphen.
        let address: Ipv6Addr = address.parse().map_err(|_| Error::RegistryHost(self.0.clone()))?;
        let groups = address.segments().map(|group| format!("{group:x}")).join("-");
        format!("{groups}{}", port.replace(':', "-")).parse()
    }
}

impl FromStr for RegistryHost {
    type Err = Error;

    /// Accepts one form of each host: names that resolvers and clients treat as the same host must not be two hosts to a
    /// policy.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::RegistryHost(text.to_owned());
        let (host_good, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']').ok_or_else(wrong)?;
                let canonical = address.parse::<Ipv6Addr>().is_ok_and(|parsed| parsed.to_string() == address);
                (
                    canonical,
                    if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(wrong)?) },
                )
            }
            None => match text.split_once(':') {
                Some((host, port)) => (is_host(host), Some(port)),
                None => (is_host(text), None),
            },
        };
        if host_good && port.is_none_or(is_port) { Ok(Self(text.to_owned())) } else { Err(wrong()) }
    }
}

/// Labels of lower-case letters, digits and hyphens. Some resolvers read a host that ends with a number as an address, in
/// forms such as `127.1` and `0x7f.1`: only the canonical form is accepted.
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let number = last.strip_prefix("0x").unwrap_or(last).bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    host.split('.').all(label) && (!number || host.parse::<Ipv4Addr>().is_ok())
}

fn is_port(port: &str) -> bool {
    port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port)
}

impl TryFrom<String> for RegistryHost {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<RegistryHost> for String {
    fn from(host: RegistryHost) -> Self {
        host.0
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Selects one manifest within a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Selector {
    /// A tag, which may move.
    Tag(Tag),
    /// A digest, which cannot.
    Digest(Digest),
}

impl FromStr for Selector {
    type Err = Error;

    /// Parses anything with a colon as a digest: a malformed digest is never taken for an unknown tag.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.contains(':') { text.parse().map(Self::Digest) } else { text.parse().map(Self::Tag) }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// `host/name[:tag][@digest]`, normalised: `nginx` is `docker.io/library/nginx:latest`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    host: RegistryHost,
    repository: RepositoryName,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl Reference {
    /// Makes a reference from its parts.
    #[must_use]
    pub fn new(host: RegistryHost, repository: RepositoryName, selector: Selector) -> Self {
        let (tag, digest) = match selector {
            Selector::Tag(tag) => (Some(tag), None),
            Selector::Digest(digest) => (None, Some(digest)),
        };
        Self { host, repository, tag, digest }
    }

    /// The registry.
    #[must_use]
    pub fn host(&self) -> &RegistryHost {
        &self.host
    }

    /// The repository within the registry.
    #[must_use]
    pub fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// The tag, if one was given, or `latest` if neither a tag nor a digest was.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest, if one was given.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What to request from the registry: the digest if there is one, otherwise the tag.
    #[must_use]
    pub fn selector(&self) -> Selector {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Selector::Digest(digest.clone()),
            (None, Some(tag)) => Selector::Tag(tag.clone()),
            (None, None) => Selector::Tag(Tag::latest()),
        }
    }
}

impl Tag {
    /// The tag of a reference without tag and digest.
    #[must_use]
    pub fn latest() -> Self {
        // The literal matches the grammar, so the fallback is never used.
        "latest".parse().unwrap_or_else(|_| Self::of_referrers(&Digest::sha256(b"")))
    }
}

impl FromStr for Reference {
    type Err = Error;

    /// Follows Docker's and containerd's rules (distribution/reference, `ParseNormalizedNamed`), but accepts only one form
    /// of each host.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Reference(text.to_owned());
        // Docker reads this as an image ID.
        if text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong());
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon after the last slash starts a tag; before it, a port.
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag.parse()?)),
            _ => (rest, None),
        };
        let (host, name) = match path.split_once('/') {
            Some((host, name)) if looks_like_host(host) => (host, name.to_owned()),
            _ => (RegistryHost::DOCKER_HUB, path.to_owned()),
        };
        let host = if host == "index.docker.io" { RegistryHost::DOCKER_HUB } else { host };
        if host.split(':').next() == Some(HUB_ENDPOINT) {
            return Err(Error::HubEndpoint(text.to_owned()));
        }
        let name = if host == RegistryHost::DOCKER_HUB && !name.contains('/') {
            format!("library/{name}")
        } else {
            name
        };
        let tag = if tag.is_none() && digest.is_none() { Some(Tag::latest()) } else { tag };
        if host.len() + 1 + name.len() > RepositoryName::MAX_LEN {
            return Err(wrong());
        }
        Ok(Self { host: host.parse()?, repository: name.parse().map_err(|_| wrong())?, tag, digest })
    }
}

/// Docker's rule: the first component is a host if it has a dot or a port, is `localhost`, or is not lower case.
fn looks_like_host(text: &str) -> bool {
    text == "localhost" || text.contains(['.', ':']) || text.bytes().any(|byte| byte.is_ascii_uppercase())
}

impl TryFrom<String> for Reference {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_completed() {
        let hex = "a".repeat(64);
        for (short, whole) in [
            ("nginx".to_owned(), "docker.io/library/nginx:latest".to_owned()),
            ("nginx:1.25".into(), "docker.io/library/nginx:1.25".into()),
            ("bitnami/nginx".into(), "docker.io/bitnami/nginx:latest".into()),
            ("index.docker.io/nginx".into(), "docker.io/library/nginx:latest".into()),
            ("localhost/a:b".into(), "localhost/a:b".into()),
            ("localhost:5000/a".into(), "localhost:5000/a:latest".into()),
            ("[::1]:5000/a".into(), "[::1]:5000/a:latest".into()),
            ("public.ecr.aws/a/b:v1".into(), "public.ecr.aws/a/b:v1".into()),
            (format!("r.io/a@sha256:{hex}"), format!("r.io/a@sha256:{hex}")),
            (format!("r.io/a:t@sha256:{hex}"), format!("r.io/a:t@sha256:{hex}")),
        ] {
            let parsed = short.parse::<Reference>().unwrap();
            assert_eq!(parsed.to_string(), whole);
            assert_eq!(whole.parse::<Reference>().unwrap(), parsed);
        }
    }

    #[test]
    fn malformed_references_are_rejected() {
        for bad in [
            "",
            ":",
            "a:",
            "a@",
            "r.io/",
            "r.io/A",
            "r.io:99999/a",
            "r.io/a@sha256:12",
            "http://r.io/a",
            "r.io/a b",
            "registry-1.docker.io/library/nginx",
            &"a".repeat(64),
            &format!("r.io/{}", "a".repeat(251)),
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a11_a_host_has_one_form() {
        for good in
            ["localhost:5000", "r.io", "r.io:443", "127.0.0.1:5000", "[::1]:5000", "[2001:db8::1]", "1.r.io"]
        {
            assert_eq!(good.parse::<RegistryHost>().unwrap().as_str(), good);
        }
        for bad in [
            "LOCALHOST:5000",
            "Registry.example",
            "localhost:05000",
            "localhost:0",
            "localhost:+5000",
            "localhost:",
            "localhost.:5000",
            "r.io.",
            ".r.io",
            "r..io",
            "127.1",
            "127.0.0.01",
            "0x",
            "0x7f.1",
            "0x7f000001",
            "2130706433",
            "r.io.1",
            "[0:0:0:0:0:0:0:1]",
            "[::0001]",
            "[::FFFF]",
            "[::1",
            "::1",
            "r_io",
            "\u{212a}.io",
        ] {
            assert!(bad.parse::<RegistryHost>().is_err(), "{bad}");
            assert!(format!("{bad}/a/b").parse::<Reference>().is_err() || !bad.contains(['.', ':']), "{bad}");
        }
        let named: RegistryHost = "r.io:443".parse().unwrap();
        assert_eq!(named.without_default_port().as_str(), "r.io");
    }

    #[test]
    fn d13_every_host_has_a_repository() {
        for (host, name) in [
            ("r.io", "r.io"),
            ("localhost:5000", "localhost-5000"),
            ("[::1]", "0-0-0-0-0-0-0-1"),
            ("[2001:db8::1]:5000", "2001-db8-0-0-0-0-0-1-5000"),
        ] {
            assert_eq!(host.parse::<RegistryHost>().unwrap().as_repository().unwrap().as_str(), name);
        }
    }

    #[test]
    fn loopback_hosts() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:1", "127.1.2.3", "[::1]:5000", "[::1]"] {
            assert!(host.parse::<RegistryHost>().unwrap().is_loopback(), "{host}");
        }
        for host in ["r.io", "10.0.0.1:5000", "localhost.evil.io", "[::2]"] {
            assert!(!host.parse::<RegistryHost>().unwrap().is_loopback(), "{host}");
        }
    }
}
