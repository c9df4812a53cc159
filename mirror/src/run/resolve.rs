//! What references mean now: manifests with everything below and about them.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _};
use oci::{Digest, Manifest, Reference, RepositoryName, Selector, Tag};
use registry::client::Client;
use store::Store;

use super::about::LeftOut;
use super::charts::ChartReader;
use super::eks::{Eks, instead};
use super::failures::sorted;
use super::walk::Walk;
use super::{Error, fetch};
use crate::config::{ChartLocation, ChartSource, Location, MirrorConfig, Source};
use crate::lock::{Absence, ItemKind, Lock};
use crate::reporter::Reporter;
use crate::source::archive::{self, Images, Slice};
use crate::source::{Wanted, named_after, title_of};

/// Items that are asked for at once.
const AT_ONCE: usize = 8;

/// Something wanted, with what it comes to as far as that is known.
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
    /// What its manifests list and what is not to be carried.
    pub(super) absent: BTreeMap<Digest, Absence>,
    /// What is listed about it and left out.
    pub(super) unavailable: LeftOut,
    /// What is about these manifests and cannot be read, and so has no digest.
    pub(super) unreadable: LeftOut,
    /// Where its blobs are, if not in a registry.
    pub(super) slices: Option<BTreeMap<Digest, Slice>>,
}

/// Reads the sources: what do they name?
pub(super) async fn wants(
    config: &MirrorConfig,
    client: &Client,
    known: (&Store, Option<&Lock>),
    reporter: &dyn Reporter,
) -> Result<Vec<Wanted>, Error> {
    let charts = ChartReader { client, store: known.0, lock: known.1, reporter };
    let eks = Eks { config, client, lock: known.1, reporter };
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
                let (read, found) = match images {
                    Some(images) => charts.images(location, images).await?,
                    None => (None, Vec::new()),
                };
                wants.push(chart_want(location, read));
                wants.extend(found);
            }
            Source::Archive(format, path, image, reference) => {
                let all = archive_wants((*format, path), image.as_deref(), reference.as_ref(), charts.store);
                wants.extend(all.await?);
            }
            Source::File(file) => {
                let wanted = file_want(file, config)?;
                if let Wanted::File { location: Location::Url(url), .. } = &wanted
                    && let Some(hidden) = url.hidden()
                {
                    reporter.warn(&format!("{url}: its {hidden} is used to fetch it, and stored nowhere"));
                }
                wants.push(wanted);
            }
        }
    }
    once(wants)
}

/// The image of an archive that is asked for, or all.
async fn archive_wants(
    (format, path): (archive::Format, &std::path::Path),
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

/// Where compressed archives are unpacked: where the store removes what a killed run left.
pub(super) fn scratch(store: &Store) -> std::path::PathBuf {
    store.root().join("uploads")
}

/// Leaves out what is named again; what is named again with another meaning is nobody's to choose.
pub(super) fn once(wants: Vec<Wanted>) -> Result<Vec<Wanted>, Error> {
    let mut kept: Vec<Wanted> = Vec::new();
    let mut places = BTreeMap::new();
    for wanted in wants {
        if let Some(place) = places.get(&wanted.place()) {
            let known: &mut Wanted = &mut kept[*place];
            *known = known.clone().with(&wanted).ok_or_else(|| Error::Clash(wanted.name()))?;
        } else {
            places.insert(wanted.place(), kept.len());
            kept.push(wanted);
        }
    }
    Ok(kept)
}

fn chart_want(location: &ChartLocation, read: Option<Digest>) -> Wanted {
    match location {
        ChartLocation::Path(path) => Wanted::Chart { path: path.clone() },
        ChartLocation::Reference(reference) => {
            Wanted::Image { kind: ItemKind::Chart, reference: reference.clone(), read }
        }
    }
}

fn file_want(file: &crate::config::FileSource, config: &MirrorConfig) -> Result<Wanted, Error> {
    let (source, location, default) = match &file.location {
        Location::Url(url) => {
            let place = named_after(url.name());
            let place = if file.name.is_some() { place.ok() } else { Some(place?) };
            (url.name().to_owned(), Location::Url(instead(config, url)?), place)
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
        (Some(place), None) => place,
        _ => named()?,
    };
    let title = match (&file.name, &file.location) {
        (Some(name), _) => name.clone(),
        (None, Location::Url(url)) => title_of(url.name()),
        (None, Location::Path(_)) => name,
    };
    Ok(Wanted::File { source, location, checksums: file.checksums.clone(), repository, tag, title })
}

/// What a reference came to when the lock was written.
pub(super) fn locked(lock: Option<&Lock>, reference: &Reference) -> Option<Digest> {
    let name = reference.to_string();
    lock?.items.iter().find(|item| item.source == name).map(|item| item.digest.clone())
}

/// The digest of a manifest that was asked for: also of another algorithm, where the one who asked named it.
pub(super) fn digest_of(selector: &Selector, manifest: &Manifest) -> Digest {
    match selector {
        Selector::Digest(digest) => digest.clone(),
        Selector::Tag(_) => manifest.digest().clone(),
    }
}

/// Asks for every image's manifests, several images at once.
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
                let known = read.clone().or_else(|| locked(lock, reference));
                let walk = Walk::new(config, client, *kind, reference)?;
                Some(walk.run(known).await.map_err(|error| error.about(&reference.to_string()))?)
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

/// An image from disk, under the name that the mirror file gives it.
fn on_disk(reference: &Reference, found: archive::Found) -> Result<ResolvedImage, Error> {
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
        unavailable: found.left_out.into_iter().map(|(digest, why)| (digest, Some(why))).collect(),
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
    fn a_thing_named_twice_is_taken_once_and_never_with_two_meanings() {
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
        assert_eq!(once(vec![file("one"), file("one")]).unwrap().len(), 1);
        assert_eq!(once(vec![image(ItemKind::Image), image(ItemKind::Chart)]).unwrap().len(), 1);
        let chart = read(ItemKind::Chart, Some(b"one"));
        for wants in [[image(ItemKind::Chart), chart.clone()], [chart.clone(), image(ItemKind::Chart)]] {
            assert_eq!(once(wants.to_vec()).unwrap(), std::slice::from_ref(&chart));
        }
        let other = read(ItemKind::Chart, Some(b"two"));
        assert!(matches!(once(vec![chart, other]), Err(Error::Clash(_))));
        assert!(
            matches!(once(vec![file("one"), file("two")]), Err(Error::Clash(name)) if name == "notice.txt")
        );
        let (format, path) = (archive::Format::OciArchive, "a.tar".into());
        let on_disk = Wanted::Archive { format, path, image: None, reference: reference.clone() };
        assert!(matches!(once(vec![image(ItemKind::Image), on_disk]), Err(Error::Clash(_))));
    }

    /// Serves one manifest under the tag, and another one under its digest, to whoever asks.
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
    async fn what_was_read_is_what_is_resolved_whatever_the_tag_leads_to() {
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
