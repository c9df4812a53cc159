//! Persists positive verdicts in a signed `ConfigMap`. So a controller that starts while the registry is unreachable admits
//! the same images as before, and each replica admits the images that another one verified.
//!
//! The content is verified before it is parsed, with a key in a Secret of airlock's namespace: users who can only write
//! `ConfigMaps` there cannot add verdicts. Only positive verdicts are stored. Their key contains everything that they depend
//! on, so a changed policy has none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bundle_signer::{PrivateKey, TrustFile, sign_blob, verify_blob};
use error_text::one_line;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;

use super::verdicts::GoodVerdict;
use super::verify::ImageVerifier;
use crate::context::Context;
use crate::error::{Error, Result};

pub(super) const SECRET: &str = "airlock-verdict-key";
const KEY: &str = "key.pem";
const MAP: &str = "airlock-verdicts";
const VERDICTS: &str = "verdicts.json";
const SIGNATURE: &str = "verdicts.sigstore.json";
/// How often verdicts are read and written.
const INTERVAL: Duration = Duration::from_secs(10);
/// The most verdicts in the `ConfigMap`, which is limited to 1 MiB.
const MAX_VERDICTS: usize = 3000;

/// Reads and writes verdicts until the future is dropped.
pub(super) async fn synchronize(context: &Context, verifier: &ImageVerifier) {
    let part = context.telemetry.part("verdicts");
    let key = loop {
        match key(context).await {
            Ok(Some(key)) => break key,
            Ok(None) => {}
            Err(error) => tracing::warn!(error = one_line(&error), "cannot get the key that signs verdicts"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let maps = Api::<ConfigMap>::namespaced(context.kube.clone(), &context.settings.namespace);
    let (mut written, mut version) = (BTreeSet::new(), None);
    match refresh(&maps, &key, verifier, &mut version).await {
        Ok(found) => {
            written = found.unwrap_or_default();
            tracing::info!(verdicts = written.len(), "loaded stored verdicts");
        }
        Err(error) => tracing::warn!(error = one_line(&error), "cannot read stored verdicts"),
    }
    // Without them, every image is verified again. That is slow, but the process can start.
    part.is_ready(true);
    loop {
        tokio::time::sleep(INTERVAL).await;
        match refresh(&maps, &key, verifier, &mut version).await {
            // The verdicts of all replicas may be more than the ConfigMap holds.
            Ok(found) => written.extend(found.unwrap_or_default()),
            Err(error) => {
                tracing::warn!(error = one_line(&error), "cannot read the verdicts of other replicas");
            }
        }
        let now = verifier.good_verdicts();
        if now.is_subset(&written) {
            continue;
        }
        match write(&maps, &key, verifier, now).await {
            Ok(all) => written = all,
            Err(error) => tracing::warn!(error = one_line(&error), "cannot store verdicts"),
        }
    }
}

/// Loads the stored verdicts if the `ConfigMap` has changed since the last read version.
async fn refresh(
    maps: &Api<ConfigMap>,
    key: &PrivateKey,
    verifier: &ImageVerifier,
    version: &mut Option<String>,
) -> Result<Option<BTreeSet<GoodVerdict>>> {
    let found = maps.get_metadata_opt(MAP).await.map_err(Error::kube)?;
    let now = found.and_then(|found| found.metadata.resource_version);
    if now == *version {
        return Ok(None);
    }
    let found = maps.get_opt(MAP).await.map_err(Error::kube)?;
    let good = found.as_ref().map(|map| read(map, key)).unwrap_or_default();
    verifier.load(&good);
    *version = found.and_then(|found| found.metadata.resource_version);
    Ok(Some(good))
}

/// The key that all replicas share. `None` if it was just created, here or by another replica; then read it again.
async fn key(context: &Context) -> Result<Option<PrivateKey>> {
    let secrets = Api::<Secret>::namespaced(context.kube.clone(), &context.settings.namespace);
    let found = secrets.get_opt(SECRET).await.map_err(Error::kube)?;
    let text = found.as_ref().and_then(|secret| secret.data.as_ref()?.get(KEY));
    if let Some(text) = text {
        let text = String::from_utf8_lossy(&text.0);
        // Without a password: a client that can read the Secret could read the password, too.
        return PrivateKey::from_pem(&text, b"").map(Some).map_err(Error::VerdictKey);
    }
    let pem = PrivateKey::generate().and_then(|key| key.to_encrypted_pem(b"")).map_err(Error::VerdictKey)?;
    let metadata = ObjectMeta { name: Some(SECRET.to_owned()), ..ObjectMeta::default() };
    let data = Some(BTreeMap::from([(KEY.to_owned(), ByteString(pem.into_bytes()))]));
    let secret = Secret { metadata, data, ..Secret::default() };
    match secrets.create(&PostParams::default(), &secret).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
        Err(error) => Err(Error::kube(error)),
    }
}

/// The verdicts in a `ConfigMap`; none if the signature is not ours.
fn read(map: &ConfigMap, key: &PrivateKey) -> BTreeSet<GoodVerdict> {
    let text = |name: &str| map.data.as_ref().and_then(|data| data.get(name)).cloned().unwrap_or_default();
    let trust = key.public_key().and_then(|key| TrustFile::new(vec![("airlock".to_owned(), key)]));
    let verified =
        trust.and_then(|trust| verify_blob(&trust, text(VERDICTS).into_bytes(), text(SIGNATURE).as_bytes()));
    let bytes = match verified {
        Ok(verified) => verified.into_inner(),
        Err(error) => {
            tracing::warn!(
                error = one_line(&error),
                map = MAP,
                "ignoring stored verdicts: they have no valid signature by airlock"
            );
            return BTreeSet::new();
        }
    };
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Merges the verdicts of this replica with the stored ones, drops those of policies that no longer exist, and writes
/// them.
async fn write(
    maps: &Api<ConfigMap>,
    key: &PrivateKey,
    verifier: &ImageVerifier,
    mut all: BTreeSet<GoodVerdict>,
) -> Result<BTreeSet<GoodVerdict>> {
    let found = maps.get_opt(MAP).await.map_err(Error::kube)?;
    all.extend(found.as_ref().map(|map| read(map, key)).unwrap_or_default());
    let policies = verifier.policies();
    all.retain(|good| policies.contains(&good.policy));
    let kept: BTreeSet<_> = all.iter().take(MAX_VERDICTS).cloned().collect();
    let text = serde_json::to_string(&kept).map_err(Error::CertificateJson)?;
    let signature = sign_blob(key, text.as_bytes()).map_err(Error::VerdictKey)?;
    let signature = String::from_utf8_lossy(&signature).into_owned();
    let data = BTreeMap::from([(VERDICTS.to_owned(), text), (SIGNATURE.to_owned(), signature)]);
    let done = match found {
        None => {
            let metadata = ObjectMeta { name: Some(MAP.to_owned()), ..ObjectMeta::default() };
            let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
            maps.create(&PostParams::default(), &map).await
        }
        Some(mut map) => {
            map.data = Some(data);
            maps.replace(MAP, &PostParams::default(), &map).await
        }
    };
    match done {
        Ok(_) => Ok(all),
        // Another replica was faster: write again next time.
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
            Ok(BTreeSet::new())
        }
        Err(error) => Err(Error::kube(error)),
    }
}

#[cfg(test)]
mod tests {
    use oci::Digest;

    use super::*;

    fn map(key: &PrivateKey, text: &str) -> ConfigMap {
        let signature = String::from_utf8(sign_blob(key, text.as_bytes()).unwrap()).unwrap();
        let data =
            BTreeMap::from([(VERDICTS.to_owned(), text.to_owned()), (SIGNATURE.to_owned(), signature)]);
        ConfigMap { data: Some(data), ..ConfigMap::default() }
    }

    #[test]
    fn only_verdicts_signed_by_this_key_are_read() {
        let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        let digest = Digest::sha256(b"x");
        let good = GoodVerdict { image: digest.clone(), name: "r.example/a".to_owned(), policy: digest };
        let text = serde_json::to_string(&[&good]).unwrap();
        assert_eq!(read(&map(&key, &text), &key), BTreeSet::from([good]));
        assert!(read(&map(&other, &text), &key).is_empty());
        let mut changed = map(&key, &text);
        changed
            .data
            .as_mut()
            .unwrap()
            .insert(VERDICTS.to_owned(), text.replace("r.example/a", "r.example/b"));
        assert!(read(&changed, &key).is_empty());
        assert!(read(&ConfigMap::default(), &key).is_empty());
    }
}
