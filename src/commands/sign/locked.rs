//! `airlock sign --lock`: every item of a lock, by its digest, under its upstream name.

use std::path::Path;

use mirror::lock::{Lock, LockedItem};
use oci::{Reference, RegistryHost, RepositoryName};

use crate::cli::ImageArg;
use crate::failure::Usage;

/// The images to sign. Nothing is signed if one has no name.
pub(super) fn images(
    lock: &Path,
    arg: &ImageArg,
    registry: Option<&RegistryHost>,
) -> anyhow::Result<Vec<ImageArg>> {
    let mut images: Vec<ImageArg> = Vec::new();
    let mut nameless: Vec<String> = Vec::new();
    for item in Lock::read(lock)?.items {
        let image = match (upstream(&item), registry) {
            (Some(name), _) => ImageArg { reference: Some(format!("{name}@{}", item.digest)), ..arg.clone() },
            (None, Some(host)) => ImageArg {
                reference: Some(format!("{}@{}", item.repository, item.digest)),
                name: Some(format!("{host}/{}", item.repository)),
                ..arg.clone()
            },
            (None, None) => {
                nameless.push(item.repository.to_string());
                continue;
            }
        };
        if !images.iter().any(|known| known.reference == image.reference) {
            images.push(image);
        }
    }
    if nameless.is_empty() {
        return Ok(images);
    }
    nameless.sort();
    nameless.dedup();
    let message = format!("no upstream registry is known for: {}", nameless.join(", "));
    let hint = "give the name of the registry that will serve them: --registry-name HOST[:PORT]";
    Err(Usage { message, hint }.into())
}

/// `HOST/REPOSITORY`, if `airlock mirror` maps it to the item's repository in the store.
fn upstream(item: &LockedItem) -> Option<String> {
    let own = item.repository.as_str();
    let has_host = own.split_once('/').is_some_and(|(host, _)| host.contains('.') || host == "localhost");
    let written = item.source.parse::<Reference>().ok().into_iter();
    let written = written.chain(own.parse::<Reference>().ok().filter(|_| has_host));
    let mut names = written.filter(|reference| mirrored(reference).as_ref() == Some(&item.repository));
    names.next().map(|reference| format!("{}/{}", reference.host(), reference.repository()))
}

fn mirrored(reference: &Reference) -> Option<RepositoryName> {
    let below = reference.host().as_repository().ok()?;
    reference.repository().below(&below).ok()
}

#[cfg(test)]
mod tests {
    use mirror::lock::ItemKind;

    use super::*;

    fn item(source: &str, repository: &str) -> LockedItem {
        let item = serde_json::json!({
            "kind": ItemKind::Image, "source": source, "repository": repository,
            "digest": oci::Digest::sha256(b"x"), "size": 1,
        });
        serde_json::from_value(item).unwrap()
    }

    #[test]
    fn o36_an_items_name_is_that_of_its_upstream() {
        let name = |source: &str, repository: &str| upstream(&item(source, repository));
        let expected = |text: &str| Some(text.to_owned());
        assert_eq!(name("quay.io/team/app:v1", "quay.io/team/app"), expected("quay.io/team/app"));
        assert_eq!(
            name("registry.local:5000/app:v1", "registry.local-5000/app"),
            expected("registry.local:5000/app")
        );
        assert_eq!(name("https://dl.example/a/b.tgz", "dl.example/a"), expected("dl.example/a"));
        assert_eq!(name("hello-0.1.0.tgz", "charts/hello"), None);
        assert_eq!(name("notice.txt", "files"), None);
    }
}
