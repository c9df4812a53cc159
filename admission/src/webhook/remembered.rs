//! The index of verdicts between two runs: what was found good, signed, in a config map. So a controller that starts
//! while the registry does not answer lets pass what it let pass before, and so does each replica what another found
//! good.
//!
//! What is read is verified before it is parsed, by a key that only a secret of airlock's namespace holds: who may
//! write config maps there cannot put a verdict in. Only good verdicts are kept; their key is all they depend on, so
//! that a policy that changed finds none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use brief::words;
use bundle_signer::{PrivateKey, TrustFile, sign_blob, verify_blob};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;

use super::verdicts::Good;
use super::verify::Judge;
use crate::context::Context;
use crate::error::{Error, Result};

pub(super) const SECRET: &str = "airlock-verdict-key";
const KEY: &str = "key.pem";
const MAP: &str = "airlock-verdicts";
const VERDICTS: &str = "verdicts.json";
const SIGNATURE: &str = "verdicts.sigstore.json";
/// What is new is written so often.
const EVERY: Duration = Duration::from_secs(10);
/// A config map holds 1 MiB.
const MOST: usize = 3000;

/// Remembers verdicts until it is dropped.
pub(super) async fn remember(context: &Context, judge: &Judge) {
    let part = context.telemetry.part("verdicts");
    let key = loop {
        match key(context).await {
            Ok(Some(key)) => break key,
            Ok(None) => {}
            Err(error) => tracing::warn!(error = words(&error), "cannot have the key of verdicts"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let maps = Api::<ConfigMap>::namespaced(context.kube.clone(), &context.settings.namespace);
    let (mut written, mut version) = (BTreeSet::new(), None);
    match hear(&maps, &key, judge, &mut version).await {
        Ok(found) => {
            written = found.unwrap_or_default();
            tracing::info!(verdicts = written.len(), "verdicts of before are known");
        }
        Err(error) => tracing::warn!(error = words(&error), "cannot read the verdicts of before"),
    }
    // Without them every image is asked about again; that is slow, and no reason not to begin.
    part.is_ready(true);
    loop {
        tokio::time::sleep(EVERY).await;
        match hear(&maps, &key, judge, &mut version).await {
            // What is there beside may be more than fits.
            Ok(found) => written.extend(found.unwrap_or_default()),
            Err(error) => tracing::warn!(error = words(&error), "cannot read the verdicts of other replicas"),
        }
        let now = judge.good();
        if now.is_subset(&written) {
            continue;
        }
        match write(&maps, &key, judge, now).await {
            Ok(all) => written = all,
            Err(error) => tracing::warn!(error = words(&error), "cannot write verdicts down"),
        }
    }
}

/// Takes the verdicts that stand there, when they are others than at the version that was read last.
async fn hear(
    maps: &Api<ConfigMap>,
    key: &PrivateKey,
    judge: &Judge,
    version: &mut Option<String>,
) -> Result<Option<BTreeSet<Good>>> {
    let found = maps.get_metadata_opt(MAP).await.map_err(Error::kube)?;
    let now = found.and_then(|found| found.metadata.resource_version);
    if now == *version {
        return Ok(None);
    }
    let found = maps.get_opt(MAP).await.map_err(Error::kube)?;
    let good = found.as_ref().map(|map| read(map, key)).unwrap_or_default();
    judge.recall(&good);
    *version = found.and_then(|found| found.metadata.resource_version);
    Ok(Some(good))
}

/// The key that all replicas share; none yet, when another makes it just now.
async fn key(context: &Context) -> Result<Option<PrivateKey>> {
    let secrets = Api::<Secret>::namespaced(context.kube.clone(), &context.settings.namespace);
    let found = secrets.get_opt(SECRET).await.map_err(Error::kube)?;
    let text = found.as_ref().and_then(|secret| secret.data.as_ref()?.get(KEY));
    if let Some(text) = text {
        let text = String::from_utf8_lossy(&text.0);
        // Without a password: whoever reads the secret could read that, too.
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

/// What a config map holds; nothing, when its signature is not ours.
fn read(map: &ConfigMap, key: &PrivateKey) -> BTreeSet<Good> {
    let text = |name: &str| map.data.as_ref().and_then(|data| data.get(name)).cloned().unwrap_or_default();
    let trust = key.public_key().and_then(|key| TrustFile::new(vec![("airlock".to_owned(), key)]));
    let verified =
        trust.and_then(|trust| verify_blob(&trust, text(VERDICTS).into_bytes(), text(SIGNATURE).as_bytes()));
    let bytes = match verified {
        Ok(verified) => verified.into_inner(),
        Err(error) => {
            tracing::warn!(
                error = words(&error),
                map = MAP,
                "verdicts of before are not airlock's, and not heeded"
            );
            return BTreeSet::new();
        }
    };
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Writes what is known here beside what others wrote, without what no policy asks for any more.
async fn write(
    maps: &Api<ConfigMap>,
    key: &PrivateKey,
    judge: &Judge,
    mut all: BTreeSet<Good>,
) -> Result<BTreeSet<Good>> {
    let found = maps.get_opt(MAP).await.map_err(Error::kube)?;
    all.extend(found.as_ref().map(|map| read(map, key)).unwrap_or_default());
    let policies = judge.policies();
    all.retain(|good| policies.contains(&good.policy));
    let kept: BTreeSet<_> = all.iter().take(MOST).cloned().collect();
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
        // Another replica was faster; next time.
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
    fn only_what_this_key_signed_is_read() {
        let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        let digest = Digest::sha256(b"x");
        let good = Good { image: digest.clone(), name: "r.example/a".to_owned(), policy: digest };
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
