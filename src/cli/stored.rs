//! Names of content in a store, as `store list` prints them.

use std::fmt;

use oci::{RepositoryName, Selector, Tag};

/// A repository, or a manifest or a tag in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredName {
    pub(crate) repository: RepositoryName,
    /// None for the whole repository.
    pub(crate) selector: Option<Selector>,
}

impl StoredName {
    /// The tag, unless the name has none or a digest.
    pub(crate) fn tag(&self) -> Option<&Tag> {
        match &self.selector {
            Some(Selector::Tag(tag)) => Some(tag),
            Some(Selector::Digest(_)) | None => None,
        }
    }
}

impl fmt::Display for StoredName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repository = &self.repository;
        match &self.selector {
            None => write!(f, "{repository}"),
            Some(Selector::Tag(tag)) => write!(f, "{repository}:{tag}"),
            Some(Selector::Digest(digest)) => write!(f, "{repository}@{digest}"),
        }
    }
}

/// `REPOSITORY`, `REPOSITORY:TAG` or `REPOSITORY@DIGEST`.
pub(crate) fn stored_name(text: &str) -> Result<StoredName, String> {
    let parsed = if let Some((repository, digest)) = text.split_once('@') {
        repository.parse().and_then(|repository| Ok((repository, Some(Selector::Digest(digest.parse()?)))))
    } else if let Some((repository, tag)) = text.rsplit_once(':') {
        repository.parse().and_then(|repository| Ok((repository, Some(Selector::Tag(tag.parse()?)))))
    } else {
        text.parse().map(|repository| (repository, None))
    };
    let (repository, selector) = parsed.map_err(|error: oci::Error| error.to_string())?;
    Ok(StoredName { repository, selector })
}

/// `REPOSITORY` or `REPOSITORY:TAG`.
pub(crate) fn tags_name(text: &str) -> Result<StoredName, String> {
    let name = stored_name(text)?;
    let is_manifest = matches!(name.selector, Some(Selector::Digest(_)));
    if is_manifest { Err("expected REPOSITORY or REPOSITORY:TAG".to_owned()) } else { Ok(name) }
}

/// `REPOSITORY:TAG`.
pub(crate) fn tag_name(text: &str) -> Result<StoredName, String> {
    let name = stored_name(text)?;
    if name.tag().is_some() { Ok(name) } else { Err("expected REPOSITORY:TAG".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printed_as_they_are_read() {
        let digest = oci::Digest::sha256(b"").to_string();
        for text in ["a/b", "a/b:v1", &format!("a/b@{digest}")] {
            assert_eq!(stored_name(text).unwrap().to_string(), text);
        }
        for text in ["", "A/b", "a/b:", "a/b@sha256:1", "a/b:v1@x", ":v1"] {
            assert!(stored_name(text).is_err(), "{text}");
        }
        assert!(tag_name("a/b").is_err() && tag_name("a/b:v1").is_ok());
        assert!(tags_name("a/b").is_ok() && tags_name(&format!("a/b@{digest}")).is_err());
    }
}
