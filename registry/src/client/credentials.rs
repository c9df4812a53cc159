//! Docker's `config.json` (docker/cli `config/configfile/file.go`, containers/image `containers-auth.json(5)`):
//! passwords in the file, or from a helper program (docker-credential-helpers' protocol).
//!
//! A credential belongs to the endpoint that is asked: host and port, the scheme where the key names one, and the
//! repositories below the key's path where it has one.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use oci::RegistryHost;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

use super::Error;
use super::shown::shown_url;

/// What Docker knows of registries.
#[derive(Clone, Debug, Default)]
pub(super) struct DockerConfig {
    entries: Vec<(Key, Credential)>,
    helpers: Vec<(Key, String)>,
    store: Option<String>,
    /// Keys that name no registry or hold no credential, with the reason.
    pub(super) ignored: Vec<(String, &'static str)>,
}

/// What is shown to a registry or its token service.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credential {
    /// User and password.
    Password(String, String),
    /// A token that a token service changes for another.
    Identity(String),
    /// A token for the registry itself.
    Registry(String),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential")
    }
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint<'a> {
    pub(super) address: &'a RegistryHost,
    pub(super) plain_http: bool,
    /// The repository's name at the endpoint.
    pub(super) repository: &'a str,
}

/// Under which name a credential is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    /// As written, for helpers.
    text: String,
    /// Whether it names plain HTTP or HTTPS.
    plain_http: Option<bool>,
    /// Host and port in lower case.
    host: String,
    /// The repositories that it is for; all below it.
    path: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase", default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperOutput {
    username: String,
    secret: String,
}

/// The user name under which a helper gives a token instead of a password.
const TOKEN_USER: &str = "<token>";
/// No configuration of Docker is larger.
const MOST_CONFIG: u64 = 4 << 20;

impl DockerConfig {
    /// Reads the file; a missing one is an empty one.
    ///
    /// # Errors
    /// When it cannot be read, or is malformed.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::DockerConfig { path: path.display().to_string(), source };
        match input::read(path, MOST_CONFIG) {
            Ok(bytes) if bytes.trim_ascii().is_empty() => Ok(Self::default()),
            Ok(bytes) => Self::parse(&bytes).map_err(|error| failed(error.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed(error)),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let file: File = serde_json::from_slice(bytes)?;
        let mut config = Self { store: file.creds_store.filter(|name| !name.is_empty()), ..Self::default() };
        for (text, helper) in file.cred_helpers {
            match Key::parse(&text) {
                Some(key) => config.helpers.push((key, helper)),
                None => config.ignored.push((shown_url(&text), "it names no registry")),
            }
        }
        for (text, entry) in file.auths {
            let stored = entry.is_empty();
            match (Key::parse(&text), entry.credential()) {
                // Docker leaves an empty entry where a helper has the password.
                (Some(_), None) if stored && (config.store.is_some() || !config.helpers.is_empty()) => {}
                (Some(_), None) if stored => config.ignored.push((shown_url(&text), "it holds no password")),
                (Some(_), None) => {
                    config.ignored.push((shown_url(&text), "its `auth` is not `user:password` in base64"));
                }
                (Some(key), Some(credential)) => config.entries.push((key, credential)),
                (None, _) => config.ignored.push((shown_url(&text), "it names no registry")),
            }
        }
        Ok(config)
    }

    /// The credential for an endpoint that stands in the file: of the longest path, else of the whole host.
    pub(super) fn in_file(&self, endpoint: &Endpoint<'_>) -> Option<&Credential> {
        let fitting = self.entries.iter().filter(|(key, _)| key.fits(endpoint));
        let best = fitting.max_by_key(|(key, _)| (key.path.len(), key.plain_http.is_none()));
        best.map(|(_, credential)| credential)
    }

    /// Whether a helper is named for this host alone: then what stands in the file does not count.
    pub(super) fn has_helper(&self, endpoint: &Endpoint<'_>) -> bool {
        self.helpers.iter().any(|(key, _)| key.path.is_empty() && key.fits(endpoint))
    }

    /// What a helper program has for the endpoint's host.
    ///
    /// # Errors
    /// When it fails.
    pub(super) async fn helped(&self, endpoint: &Endpoint<'_>) -> Result<Option<Credential>, Error> {
        let own = self.helpers.iter().find(|(key, _)| key.path.is_empty() && key.fits(endpoint));
        if let Some((key, helper)) = own {
            return ask(helper, &key.text).await;
        }
        let Some(helper) = &self.store else { return Ok(None) };
        for name in names(endpoint) {
            if let Some(found) = ask(helper, &name).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// Under which names a helper may keep a host.
fn names(endpoint: &Endpoint<'_>) -> Vec<String> {
    let host = canonical(endpoint.address.as_str());
    if host == RegistryHost::DOCKER_HUB {
        return vec!["https://index.docker.io/v1/".to_owned(), host];
    }
    let scheme = if endpoint.plain_http { "http" } else { "https" };
    let url = format!("{scheme}://{host}");
    vec![host, url]
}

/// One name for Docker Hub's several.
fn canonical(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" => RegistryHost::DOCKER_HUB.to_owned(),
        _ => host,
    }
}

impl Key {
    /// `[http[s]://]host[:port][/path]`. With a scheme the path is that of an API, and not a repository's.
    fn parse(text: &str) -> Option<Self> {
        let trimmed = text.trim();
        let (plain_http, rest) = match trimmed.split_once("://") {
            Some(("https", rest)) => (Some(false), rest),
            Some(("http", rest)) => (Some(true), rest),
            Some(_) => return None,
            None => (None, trimmed),
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_matches('/');
        let path = if plain_http.is_some() || matches!(path, "v1" | "v2") { "" } else { path };
        let host: RegistryHost = host.parse().ok()?;
        let host = canonical(host.as_str());
        Some(Self { text: text.to_owned(), plain_http, host, path: path.to_owned() })
    }

    fn fits(&self, endpoint: &Endpoint<'_>) -> bool {
        let port = if endpoint.plain_http { ":80" } else { ":443" };
        let asked = canonical(endpoint.address.as_str());
        let bare = |host: &str| host.strip_suffix(port).unwrap_or(host).to_owned();
        self.plain_http.is_none_or(|plain_http| plain_http == endpoint.plain_http)
            && bare(&self.host) == bare(&asked)
            && match endpoint.repository.strip_prefix(self.path.as_str()) {
                Some(below) => self.path.is_empty() || below.is_empty() || below.starts_with('/'),
                None => false,
            }
    }
}

impl Entry {
    fn is_empty(&self) -> bool {
        [&self.auth, &self.username, &self.password, &self.identitytoken, &self.registrytoken]
            .iter()
            .all(|text| text.is_empty())
    }

    fn credential(self) -> Option<Credential> {
        if !self.identitytoken.is_empty() {
            return Some(Credential::Identity(self.identitytoken));
        }
        if !self.registrytoken.is_empty() {
            return Some(Credential::Registry(self.registrytoken));
        }
        if !self.username.is_empty() {
            return Some(credential(self.username, self.password));
        }
        let text = self.auth.trim();
        let decoded = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (user, password) = decoded.split_once(':')?;
        // Docker's own writer leaves zero bytes behind some passwords, and cuts them when it reads.
        Some(credential(user.to_owned(), password.trim_end_matches('\0').to_owned()))
    }
}

fn credential(user: String, secret: String) -> Credential {
    if user == TOKEN_USER { Credential::Identity(secret) } else { Credential::Password(user, secret) }
}

/// Asks a helper program for a host's password; its word for "none" is a failure with a certain text.
async fn ask(helper: &str, key: &str) -> Result<Option<Credential>, Error> {
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
    // The answer itself is a secret: where it is malformed is said, and not how it reads.
    let answer: HelperOutput = serde_json::from_slice(&output.stdout).map_err(|error| {
        let place = format!("its answer is malformed at line {}, column {}", error.line(), error.column());
        failed(std::io::Error::new(std::io::ErrorKind::InvalidData, place))
    })?;
    Ok(Some(credential(answer.username, answer.secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(config: &DockerConfig, address: &str, plain_http: bool, repository: &str) -> Option<String> {
        let address: RegistryHost = address.parse().unwrap();
        let endpoint = Endpoint { address: &address, plain_http, repository };
        config.in_file(&endpoint).map(|credential| match credential {
            Credential::Password(user, password) => format!("{user}:{password}"),
            Credential::Identity(token) => format!("identity {token}"),
            Credential::Registry(token) => format!("registry {token}"),
        })
    }

    #[test]
    fn passwords_are_found_under_the_names_that_docker_uses() {
        let text = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"},"r.io":{"username":"a","password":"b"}}}"#;
        let config = DockerConfig::parse(text.as_bytes()).unwrap();
        assert_eq!(found(&config, "registry-1.docker.io", false, "library/a").as_deref(), Some("u:p"));
        assert_eq!(found(&config, "r.io", false, "a").as_deref(), Some("a:b"));
        assert_eq!(found(&config, "other.io", false, "a"), None);
    }

    #[test]
    fn d1_a_credential_fits_its_own_scheme_host_and_port_alone() {
        let text = r#"{"auths":{
            "https://tls.io":{"auth":"dDpw"}, "http://plain.io":{"auth":"cDpw"},
            "port.io:5000":{"auth":"bjpw"}, "default.io:443":{"auth":"ZDpw"}}}"#;
        let config = DockerConfig::parse(text.as_bytes()).unwrap();
        let known = |address: &str, plain_http| found(&config, address, plain_http, "a").is_some();
        assert!(known("tls.io", false) && !known("tls.io", true) && !known("tls.io:5000", false));
        assert!(known("plain.io", true) && !known("plain.io", false));
        assert!(known("port.io:5000", false) && known("port.io:5000", true) && !known("port.io", false));
        assert!(known("default.io", false) && !known("default.io", true));
        assert!(!known("x.tls.io", false) && !known("tls.io.evil", false));
    }

    #[test]
    fn d13_keys_may_have_a_path_or_a_scheme_and_the_longest_path_wins() {
        let text = r#"{"auths":{
            "r.io":{"auth":"aG9zdDpw"}, "r.io/team":{"auth":"dGVhbTpw"}, "r.io/team/app":{"auth":"YXBwOnA"},
            "https://s.io/v2/":{"auth":"czpw"}, "t.io/v1/":{"auth":"dDpw"}, "https://u.io/some/page":{"auth":"dTpw"}}}"#;
        let config = DockerConfig::parse(text.as_bytes()).unwrap();
        for (host, repository, user) in [
            ("r.io", "other", "host"),
            ("r.io", "team", "team"),
            ("r.io", "team/x", "team"),
            ("r.io", "teamwork", "host"),
            ("r.io", "team/app", "app"),
            ("r.io", "team/app/y", "app"),
            ("s.io", "a", "s"),
            ("t.io", "a", "t"),
            ("u.io", "a", "u"),
        ] {
            assert_eq!(
                found(&config, host, false, repository),
                Some(format!("{user}:p")),
                "{host}/{repository}"
            );
        }
        assert!(config.ignored.is_empty(), "{:?}", config.ignored);
    }

    #[test]
    fn d13_tokens_are_not_taken_for_passwords_and_ignored_keys_are_reported() {
        let text = r#"{"auths":{
            "i.io":{"auth":"","identitytoken":"one"}, "g.io":{"registrytoken":"two"},
            "h.io":{"username":"<token>","password":"three"}, "z.io":{"auth":"dTpwAAA="},
            "empty.io":{}, "broken.io":{"auth":"%%%"}, "no registry":{"auth":"dTpw"}, "ftp://x.io":{"auth":"dTpw"}}}"#;
        let config = DockerConfig::parse(text.as_bytes()).unwrap();
        assert_eq!(found(&config, "i.io", false, "a").as_deref(), Some("identity one"));
        assert_eq!(found(&config, "g.io", false, "a").as_deref(), Some("registry two"));
        assert_eq!(found(&config, "h.io", false, "a").as_deref(), Some("identity three"));
        assert_eq!(found(&config, "z.io", false, "a").as_deref(), Some("u:p"));
        let ignored: Vec<_> = config.ignored.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(ignored, ["broken.io", "empty.io", "ftp://x.io/", "no registry"]);
    }
}
