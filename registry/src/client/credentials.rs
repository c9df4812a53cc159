//! Docker's `config.json` (docker/cli `config/configfile/file.go`): passwords in the file, or from a helper
//! program (docker-credential-helpers' protocol).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::RegistryHost;
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

use super::Error;

/// What Docker knows of registries.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DockerConfig {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "lowercase", default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl DockerConfig {
    /// Reads the file; a missing one is an empty one.
    ///
    /// # Errors
    /// When it cannot be read, or is malformed.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::DockerConfig { path: path.display().to_string(), source };
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed(error)),
        }
    }

    /// The password for a host, if there is one.
    ///
    /// # Errors
    /// When a helper fails.
    pub(super) async fn credentials(&self, host: &RegistryHost) -> Result<Option<RegistryAuth>, Error> {
        let keys = Self::keys(host);
        for key in &keys {
            if let Some(helper) = self.cred_helpers.get(key) {
                return ask(helper, key).await;
            }
        }
        for key in &keys {
            if let Some(auth) = self.auths.get(key).and_then(Entry::basic) {
                return Ok(Some(auth));
            }
        }
        match &self.creds_store {
            Some(helper) => ask(helper, &keys[0]).await,
            None => Ok(None),
        }
    }

    /// Under which names Docker keeps a host; Docker Hub has an old one.
    fn keys(host: &RegistryHost) -> Vec<String> {
        let mut keys = vec![host.to_string(), format!("https://{host}"), format!("https://{host}/v2/")];
        if host.as_str() == RegistryHost::DOCKER_HUB {
            keys.insert(0, "https://index.docker.io/v1/".to_owned());
        }
        keys
    }
}

impl Entry {
    fn basic(&self) -> Option<RegistryAuth> {
        if !self.username.is_empty() {
            return Some(RegistryAuth::Basic(self.username.clone(), self.password.clone()));
        }
        let decoded = String::from_utf8(STANDARD.decode(self.auth.trim()).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some(RegistryAuth::Basic(user.to_owned(), password.to_owned()))
    }
}

/// Asks a helper program for a host's password; its word for "none" is a failure with a certain text.
async fn ask(helper: &str, key: &str) -> Result<Option<RegistryAuth>, Error> {
    let failed = |source| Error::Helper { helper: helper.to_owned(), source };
    let mut child = tokio::process::Command::new(format!("docker-credential-{helper}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(key.as_bytes()).await.map_err(failed)?;
    }
    let output = child.wait_with_output().await.map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        if text.contains("credentials not found") {
            return Ok(None);
        }
        return Err(failed(std::io::Error::other(text.trim().to_owned())));
    }
    let answer: Answer = serde_json::from_slice(&output.stdout).map_err(|error| failed(error.into()))?;
    Ok(Some(RegistryAuth::Basic(answer.username, answer.secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn passwords_are_found_under_the_names_that_docker_uses() {
        let text = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"},"r.io":{"username":"a","password":"b"}}}"#;
        let config: DockerConfig = serde_json::from_str(text).unwrap();
        let of = async |host: &str| config.credentials(&host.parse().unwrap()).await.unwrap();
        assert_eq!(of("docker.io").await, Some(RegistryAuth::Basic("u".into(), "p".into())));
        assert_eq!(of("r.io").await, Some(RegistryAuth::Basic("a".into(), "b".into())));
        assert_eq!(of("other.io").await, None);
    }
}
