//! EKS manifests: reads them, verifies their signatures, and lists their content.

use bundle_signer::eksa::{distro_keys, package_keys, verify_package_bundle, verify_release};
use oci::{Digest, Reference};
use registry::client::Client;

use super::{Error, fetch, pins};
use crate::config::{BundleLocation, BundleSource, Location, MirrorConfig, Signed};
use crate::lock::{ItemKind, Lock};
use crate::reporter::Reporter;
use crate::source::url::{FileUrl, Unusable};
use crate::source::{Wanted, bundle_wants, release_wants, verified};

/// The maximum size of an EKS manifest.
const MOST_TEXT: u64 = 16 << 20;

/// Reads EKS manifests.
pub(super) struct EksReader<'a> {
    pub(super) config: &'a MirrorConfig,
    pub(super) client: &'a Client,
    pub(super) lock: Option<&'a Lock>,
    pub(super) reporter: &'a dyn Reporter,
}

impl EksReader<'_> {
    /// The content of an EKS Distro release.
    pub(super) async fn release(
        &self,
        location: &Location,
        bundles: Option<&Location>,
        signed: &Signed,
    ) -> Result<Vec<Wanted>, Error> {
        let (name, text) = self.text(location).await?;
        let bundles = match bundles {
            Some(location) => self.text(location).await?.1,
            None => String::new(),
        };
        let verify = |text: &[u8], trust: &_| verify_release(text, bundles.as_bytes(), trust);
        let manifest = verified(&text, &name, signed, verify, distro_keys)?;
        self.warn_unverified(&name, signed);
        let found = release_wants(manifest, &name, self.config)?;
        if !found.others.is_empty() {
            let others = found.others.join(", ");
            self.reporter.warn(&format!("{name}: not mirrored, because their types are unknown: {others}"));
        }
        if !found.left_out.is_empty() {
            let (count, archives) = (found.left_out.len(), found.left_out.join(", "));
            self.reporter
                .warn(&format!("{name}: {count} archives for other platforms are left out: {archives}"));
        }
        Ok(found.wants)
    }

    /// A package bundle and its content.
    pub(super) async fn bundle(&self, bundle: &BundleSource) -> Result<Vec<Wanted>, Error> {
        let mut wants = Vec::new();
        let (name, text) = match &bundle.location {
            BundleLocation::Path(path) => self.text(&Location::Path(path.clone())).await?,
            BundleLocation::Reference(reference) => {
                let (digest, text) = self.artifact(reference).await?;
                let (reference, read) = (reference.clone(), Some(digest));
                let name = reference.to_string();
                wants.push(Wanted::Image { kind: ItemKind::Bundle, reference, read });
                (name, text)
            }
        };
        let manifest = verified(&text, &name, &bundle.signed, verify_package_bundle, package_keys)?;
        self.warn_unverified(&name, &bundle.signed);
        wants.extend(bundle_wants(manifest, &name, &bundle.registry, bundle.prefix.as_ref())?);
        Ok(wants)
    }

    fn warn_unverified(&self, name: &str, signed: &Signed) {
        if *signed == Signed::Unverified {
            self.reporter.warn(&format!(
                "{name}: its signature was not verified, as the mirror file declares with `unverified`"
            ));
        }
    }

    async fn text(&self, location: &Location) -> Result<(String, String), Error> {
        match location {
            Location::Path(path) => {
                let name = path.display().to_string();
                let text = input::read_text(path, input::MAX_SIZE);
                Ok((name.clone(), text.map_err(|source| Error::File { path: name, source })?))
            }
            Location::Url(url) => {
                let name = url.name().to_owned();
                let bytes = self.client.small_file(instead(self.config, url)?.secret(), MOST_TEXT).await;
                let bytes = bytes.map_err(|error| Error::Client(error).about(&name))?;
                Ok((name.clone(), fetch::text(&name, &bytes)?))
            }
        }
    }

    /// Reads a package bundle from its artifact, and returns it with the artifact's digest. The bundle is the first layer,
    /// whatever its media type.
    async fn artifact(&self, reference: &Reference) -> Result<(Digest, String), Error> {
        let (host, repository) = (reference.host(), reference.repository());
        let selector = pins::selector(self.lock, reference);
        let name = reference.to_string();
        let failed = |error| Error::Client(error).about(&name);
        let manifest = self.client.manifest(host, repository, &selector).await.map_err(failed)?;
        let manifest = manifest.ok_or_else(|| Error::NotFound(name.clone()))?;
        let layer = manifest.blobs().nth(1).ok_or_else(|| Error::EmptyBundle(name.clone()))?;
        let bytes = self.client.small_blob(host, repository, layer, MOST_TEXT).await.map_err(failed)?;
        Ok((pins::digest_of(&selector, &manifest), fetch::text(&name, &bytes)?))
    }
}

/// The URL to fetch instead.
pub(super) fn instead(config: &MirrorConfig, url: &FileUrl) -> Result<FileUrl, Error> {
    let expected =
        |unusable: Unusable| Error::Url { name: url.name().to_owned(), expected: unusable.expected() };
    config.url(url).map_err(expected)
}
