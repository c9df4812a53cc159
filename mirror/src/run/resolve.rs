//! Resolves references to manifests, with all manifests that these list and all referrers.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _};
use oci::{Digest, Manifest, Reference, RepositoryName, Selector, Tag};
use registry::client::Client;
use store::Store;

use super::about::LeftOut;
use super::charts::ChartReader;
use super::eks::{EksReader, instead};
use super::failures::sorted;
use super::walk::Walk;
use super::{Error, fetch, pins};
use crate::config::{ChartSource, Location, MirrorConfig, Source};
use crate::lock::{Absence, ItemKind, Lock};
use crate::reporter::Reporter;
use crate::source::archive::{self, Images, Slice};
use crate::source::{Wanted, named_after, title_of};

/// The number of items that are resolved concurrently.
const AT_ONCE: usize = 8;

/// A wanted item with its image, if it is one.
pub(super) struct Resolved {
    pub(super) wanted: Wanted,
    pub(super) image: Option<ResolvedImage>,
}

/// An image with all its manifests.
pub(super) struct ResolvedImage {
    pub(super) kind: ItemKind,
    pub(super) reference: Reference,
    pub(super) repository: RepositoryName,
    pub(super) root: Digest,
    pub(super) manifests: BTreeMap<Digest, Manifest>,
    pub(super) tags: BTreeMap<Tag, Digest>,
    /// Content that its manifests list and that is not included.
    pub(super) absent: BTreeMap<Digest, Absence>,
    /// Referrers that are listed but left out.
    pub(super) unavailable: LeftOut,
    /// Subjects whose referrers cannot be read, so that the referrers have no digests.
    pub(super) unreadable: LeftOut,
    /// The locations of its blobs, if they are not in a registry.
    pub(super) slices: Option<BTreeMap<Digest, Slice>>,
}

/// Reads the sources and lists their content.
pub(super) async fn wants(
    config: &MirrorConfig,
    client: &Client,
    store: &Store,
    lock: Option<&Lock>,
    reporter: &dyn Reporter,
) -> Result<Vec<Wanted>, Error> {
    let charts = ChartReader { client, store, lock, reporter };
    let eks = EksReader { config, client, lock, reporter };
    let mut wants = Vec::new();
    for source in &config.sources {
        match source {
            Source::EksdRelease(location, bundles, signed) => {
                wants.extend(eks.release(location, bundles.as_ref(), signed).await?);
            }
            Source::PackageBundle(bundle) => wants.extend(eks.bundle(bundle).await?),
            Source::Image(reference) => {
                let reference = reference.clone();
                wants.push(Wanted::Image { kind: ItemKind::Image, reference, read: None });
            }
            Source::Chart(ChartSource { location, images, .. }) => {
                wants.extend(charts.wants(location, images.as_ref()).await?);
            }
            Source::Archive(format, path, image, reference) => {
                let all = archive_wants(*format, path, image.as_deref(), reference.as_ref(), store);
                wants.extend(all.await?);
            }
            Source::File(file) => {
                let wanted = file_want(file, config)?;
                if let Wanted::File { location: Location::Url(url), .. } = &wanted
                    && let Some(hidden) = url.hidden()
                {
                    reporter.warn(&format!(
                        "{url}: airlock fetches it with its {hidden}, but does not store that part"
                    ));
                }
                wants.push(wanted);
            }
        }
    }
    deduplicate(wants)
}

/// The requested image of an archive, or all images.
async fn archive_wants(
    format: archive::Format,
    path: &std::path::Path,
    image: Option<&str>,
    reference: Option<&Reference>,
    store: &Store,
) -> Result<Vec<Wanted>, Error> {
    let wanted = |image: Option<String>, reference: Reference| Wanted::Archive {
        format,
        path: path.to_owned(),
        image,
        reference,
    };
    if let Some(reference) = reference {
        return Ok(vec![wanted(image.map(str::to_owned), reference.clone())]);
    }
    let (path, scratch) = (path.to_owned(), scratch(store));
    let all = fetch::blocking(move || Images { format, path: &path, scratch: &scratch }.references()).await?;
    Ok(all.into_iter().map(|(image, reference)| wanted(Some(image), reference)).collect())
}

/// The folder for unpacking compressed archives. The store removes files there that a killed run left.
pub(super) fn scratch(store: &Store) -> std::path::PathBuf {
    store.root().join("uploads")
}

/// Removes duplicates. Duplicates with different content are an error.
pub(super) fn deduplicate(wants: Vec<Wanted>) -> Result<Vec<Wanted>, Error> {
    let mut kept: Vec<Wanted> = Vec::new();
    let mut positions = BTreeMap::new();
    for wanted in wants {
        if let Some(position) = positions.get(&wanted.identity()) {
            let known: &mut Wanted = &mut kept[*position];
            *known = known.clone().merge(&wanted).ok_or_else(|| Error::Clash(wanted.name()))?;
        } else {
            positions.insert(wanted.identity(), kept.len());
            kept.push(wanted);
        }
    }
    Ok(kept)
}

fn file_want(file: &crate::config::FileSource, config: &MirrorConfig) -> Result<Wanted, Error> {
    let (source, location, default) = match &file.location {
        Location::Url(url) => {
            let derived = named_after(url.name());
            let derived = if file.name.is_some() { derived.ok() } else { Some(derived?) };
            (url.name().to_owned(), Location::Url(instead(config, url)?), derived)
        }
        Location::Path(path) => (path.display().to_string(), file.location.clone(), None),
    };
    let own = || source.rsplit('/').next().unwrap_or_default().to_owned();
    let name = file.name.clone().unwrap_or_else(own);
    let named = || {
        let tag = crate::source::tag_of(&name).ok_or_else(|| Error::FileName(name.clone()))?;
        Ok::<_, Error>(("files".parse().map_err(Error::Oci)?, tag))
    };
    let (repository, tag) = match (default, &file.name) {
        (Some(derived), None) => derived,
        _ => named()?,
    };
    let title = match (&file.name, &file.location) {
        (Some(name), _) => name.clone(),
        (None, Location::Url(url)) => title_of(url.name()),
        (None, Location::Path(_)) => name,
    };
    Ok(Wanted::File { source, location, checksums: file.checksums.clone(), repository, tag, title })
}

/// Fetches the manifests of all images, several images concurrently.
pub(super) async fn resolve(
    config: &MirrorConfig,
    client: &Client,
    wants: &[Wanted],
    lock: Option<&Lock>,
    store: &Store,
) -> Result<(Vec<Resolved>, Vec<Error>), Error> {
    let resolving = wants.iter().map(|wanted| async move {
        let image = match wanted {
            Wanted::Image { kind, reference, read } => {
                let pinned = || pins::selector(lock, reference);
                let selector = read.clone().map_or_else(pinned, Selector::Digest);
                let walk = Walk::new(config, client, *kind, reference)?;
                Some(walk.run(&selector).await.map_err(|error| error.about(&reference.to_string()))?)
            }
            Wanted::Archive { format, path, image, reference } => {
                let (format, path, image) = (*format, path.clone(), image.clone());
                let (platforms, scratch) = (config.platforms.clone(), scratch(store));
                let found = fetch::blocking(move || {
                    let images = Images { format, path: &path, scratch: &scratch };
                    images.find(image.as_deref(), &platforms)
                });
                let found = found.await?;
                Some(on_disk(reference, found)?)
            }
            Wanted::File { .. } | Wanted::Chart { .. } => None,
        };
        Ok(Resolved { wanted: wanted.clone(), image })
    });
    sorted(stream::iter(resolving).buffered(AT_ONCE), config.keep_going).await
}

/// An image on disk, under its name in the mirror file.
fn on_disk(reference: &Reference, found: archive::ImageOnDisk) -> Result<ResolvedImage, Error> {
    let below = reference.host().as_repository().map_err(Error::Oci)?;
    let mut tags = found.tags;
    tags.extend(reference.tag().map(|tag| (tag.clone(), found.root.clone())));
    Ok(ResolvedImage {
        kind: ItemKind::Image,
        reference: reference.clone(),
        repository: reference.repository().below(&below).map_err(Error::Oci)?,
        root: found.root,
        manifests: found.manifests,
        tags,
        absent: found.absent,
        unavailable: found.left_out.into_iter().map(|(digest, reason)| (digest, Some(reason))).collect(),
        unreadable: BTreeMap::new(),
        slices: Some(found.blobs),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use oci::RegistryHost;
    use registry::client::{ClientConfig, HostRule};

    use super::*;

    #[test]
    fn a_duplicate_is_mirrored_once_and_never_with_different_content() {
        let file = |name: &str| Wanted::File {
            source: "notice.txt".into(),
            location: Location::Path("notice.txt".into()),
            checksums: Vec::new(),
            repository: "files".parse().unwrap(),
            tag: name.parse().unwrap(),
            title: name.to_owned(),
        };
        let reference: Reference = "r.example/a/b:v1".parse().unwrap();
        let read = |kind, read: Option<&[u8]>| Wanted::Image {
            kind,
            reference: reference.clone(),
            read: read.map(Digest::sha256),
        };
        let image = |kind| read(kind, None);
        assert_eq!(deduplicate(vec![file("one"), file("one")]).unwrap().len(), 1);
        assert_eq!(deduplicate(vec![image(ItemKind::Image), image(ItemKind::Chart)]).unwrap().len(), 1);
        let chart = read(ItemKind::Chart, Some(b"one"));
        for wants in [[image(ItemKind::Chart), chart.clone()], [chart.clone(), image(ItemKind::Chart)]] {
            assert_eq!(deduplicate(wants.to_vec()).unwrap(), std::slice::from_ref(&chart));
        }
        let local = |archive: Option<&'static [u8]>| Wanted::Chart {
            path: "a.tgz".into(),
            archive: archive.map(bytes::Bytes::from_static),
        };
        for wants in [[local(None), local(Some(b"one"))], [local(Some(b"one")), local(None)]] {
            assert_eq!(deduplicate(wants.to_vec()).unwrap(), [local(Some(b"one"))]);
        }
        assert!(matches!(deduplicate(vec![local(Some(b"one")), local(Some(b"two"))]), Err(Error::Clash(_))));
        let other = read(ItemKind::Chart, Some(b"two"));
        assert!(matches!(deduplicate(vec![chart, other]), Err(Error::Clash(_))));
        assert!(
            matches!(deduplicate(vec![file("one"), file("two")]), Err(Error::Clash(name)) if name == "notice.txt")
        );
        let (format, path) = (archive::Format::OciArchive, "a.tar".into());
        let on_disk = Wanted::Archive { format, path, image: None, reference: reference.clone() };
        assert!(matches!(deduplicate(vec![image(ItemKind::Image), on_disk]), Err(Error::Clash(_))));
    }

    /// Serves one manifest under the tag, and another one under its digest.
    fn registry(tagged: &'static str, read: &'static str) -> RegistryHost {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string().parse().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let first = lines.next().unwrap_or_default();
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                let digest = Digest::sha256(read.as_bytes()).to_string();
                let (status, body) = match &first {
                    first if first.contains("/manifests/v1") => ("200 OK", tagged),
                    first if first.contains(&digest) => ("200 OK", read),
                    _ => ("404 Not Found", ""),
                };
                let (kind, length) = (oci::media_type::OCI_MANIFEST, body.len());
                let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: {kind}");
                let _ = write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{body}");
            }
        });
        host
    }

    #[tokio::test]
    async fn the_manifest_that_was_read_is_resolved_even_if_the_tag_moved() {
        const READ: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"a/b","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;
        const TAGGED: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"a/c","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;

        let endpoint = registry(TAGGED, READ);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("airlock.yaml");
        let text = "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {name: a}\nsources: [{images: ['r.example/a:v1']}]\n";
        std::fs::write(&path, text).unwrap();
        let config = MirrorConfig::read(&path).unwrap();
        let rule = HostRule {
            host: "r.example".parse().unwrap(),
            endpoint,
            prefix: None,
            plain_http: true,
            ca_pem: None,
        };
        let client = Client::new(ClientConfig { hosts: vec![rule], ..ClientConfig::default() }).unwrap();
        let store = Store::open(&folder.path().join("s")).unwrap();
        for (read, expected) in [(Some(READ), READ), (None, TAGGED)] {
            let reference = "r.example/a:v1".parse().unwrap();
            let read = read.map(|text| Digest::sha256(text.as_bytes()));
            let wants = [Wanted::Image { kind: ItemKind::Bundle, reference, read }];
            let (resolved, failed) = resolve(&config, &client, &wants, None, &store).await.unwrap();
            assert!(failed.is_empty(), "{failed:?}");
            let image = resolved[0].image.as_ref().unwrap();
            let expected = Digest::sha256(expected.as_bytes());
            assert_eq!(image.root, expected);
            assert_eq!(image.tags.values().collect::<Vec<_>>(), [&expected]);
        }
    }
}
