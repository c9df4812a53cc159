//! The registry's configuration file, `RegistryConfig`: as written, and as a plan. Its JSON Schema is generated from these
//! types.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_signer::NameRule;
use mirror::config::yaml_error;
use oci::RegistryHost;
use registry::server::{Cidr, Limits};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::access::Access;
use super::inbox::InboxText;
use super::plan::{At, Authority, Form, GateRules, Listen, Plan, Security, naming};
use super::rules::{self, ImmutableText, QuotaText, RetentionText};
use super::scrub::ScrubText;
use crate::cli::listen;
use crate::failure::Usage;

const API_VERSION: &str = "airlock.dev/v1alpha1";
const KIND: &str = "RegistryConfig";
const HINT: &str = "docs/serve.md describes the file; `airlock schema registry` prints its schema";
/// The listener of a file without listeners, as of the flags.
const DEFAULT_LISTENER: &str = "127.0.0.1:5000";

/// The configuration of a registry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RegistryConfig")]
struct Document {
    /// Always `airlock.dev/v1alpha1`.
    #[schemars(with = "String")]
    api_version: Spanned<String>,
    /// Always `RegistryConfig`.
    #[schemars(with = "String")]
    kind: Spanned<String>,
    #[serde(default)]
    #[expect(dead_code, reason = "for the user's own use")]
    metadata: Metadata,
    /// The folder of the store. Like all paths, relative to this file.
    store: PathBuf,
    /// Where to listen. Default: 127.0.0.1:5000, without TLS.
    #[schemars(with = "Option<Vec<ListenerText>>")]
    listeners: Option<Spanned<Vec<Spanned<ListenerText>>>>,
    /// Refuse pushes and deletes.
    #[serde(default)]
    read_only: bool,
    /// The trust file, whose gates `push` and `pull` apply.
    trust: Option<PathBuf>,
    #[serde(default)]
    gates: GatesText,
    /// Addresses and ranges of proxies that are trusted to name the client of a request.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    trusted_proxies: Vec<Spanned<String>>,
    #[serde(default)]
    access: Access,
    #[schemars(with = "Option<LimitsText>")]
    limits: Option<Spanned<LimitsText>>,
    /// Verify all blobs of the store regularly. Default: never.
    #[schemars(with = "Option<ScrubText>")]
    scrub: Option<Spanned<ScrubText>>,
    /// Tags that cannot be moved or removed.
    #[serde(default)]
    immutable_tags: Vec<ImmutableText>,
    /// Limits for the content of repositories.
    #[serde(default)]
    quotas: Vec<QuotaText>,
    /// Which tags are kept.
    retention: Option<RetentionText>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Metadata {
    /// A name for this configuration.
    #[expect(dead_code, reason = "for the user's own use")]
    name: Option<String>,
}

/// One of `address`, `unix` and `systemd`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ListenerText {
    /// `ADDRESS:PORT`, `HOST:PORT`, or `:PORT` for all IPv4 addresses.
    address: Option<String>,
    /// The path of a Unix socket, for its owner and its group.
    unix: Option<PathBuf>,
    /// The name of sockets that systemd passes: `FileDescriptorName` of the .socket unit, by default the unit's name.
    systemd: Option<String>,
    /// Serve TLS.
    tls: Option<TlsText>,
    /// Serve plain HTTP on an address that other machines can reach.
    #[serde(rename = "plainHTTP")]
    plain_http: bool,
}

/// A certificate: `cert` and `key`, or `selfSigned`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct TlsText {
    /// A certificate chain, PEM.
    cert: Option<PathBuf>,
    /// Its private key, PEM.
    key: Option<PathBuf>,
    /// Create a CA once, and issue a certificate from it.
    self_signed: bool,
    /// With `selfSigned`: names or addresses at which clients reach the registry, in addition to localhost.
    names: Vec<String>,
    /// With `selfSigned`: the folder of the CA. Default: `tls` in the store's folder.
    folder: Option<PathBuf>,
    /// The CAs of client certificates, PEM. Client certificates are optional.
    #[serde(rename = "clientCA")]
    client_ca: Option<PathBuf>,
}

/// How the gates of the trust file are evaluated.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct GatesText {
    /// Accept signatures without an image name.
    allow_unnamed: bool,
    /// This registry's name, `HOST[:PORT]`, in signatures of images that have no upstream registry.
    #[schemars(with = "Option<String>")]
    registry_name: Option<Spanned<String>>,
    /// The inbox, which holds manifests that the gate `push` refuses under a tag. Without it, they are refused.
    #[schemars(with = "Option<InboxText>")]
    inbox: Option<Spanned<InboxText>>,
}

/// Limits for clients. Those that are not given have their defaults.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct LimitsText {
    /// Open connections of all clients.
    #[schemars(range(min = 1))]
    connections: Option<u32>,
    /// Open connections of one client; 0: no limit.
    connections_per_client: Option<u32>,
    /// Concurrent uploads and downloads.
    #[schemars(range(min = 1))]
    transfers: Option<u32>,
    /// Memory for manifests and listings, in MiB.
    #[serde(rename = "memoryMiB")]
    #[schemars(range(min = 8))]
    memory: Option<u32>,
    /// The size of a manifest, in MiB. The specification requires at least 4.
    #[serde(rename = "manifestMiB")]
    #[schemars(range(min = 4))]
    manifest: Option<u32>,
    /// Tags in one manifest push.
    #[schemars(range(min = 1))]
    tags_per_push: Option<u32>,
    /// Referrers of one image, and indexes that list it, that one user pushes; 0: no limit.
    referrers_per_user: Option<u64>,
    /// The free space, in MiB, below which `/readyz` fails unless the registry is read-only.
    #[serde(rename = "freeMiB")]
    free: Option<u32>,
    /// Seconds that a connection may be idle between requests.
    #[schemars(range(min = 1))]
    idle_seconds: Option<u32>,
    /// Seconds that a client may keep the server waiting.
    #[schemars(range(min = 1))]
    stall_seconds: Option<u32>,
    /// The minimum rate of an upload or download.
    bytes_per_second: Option<u64>,
    /// Seconds for open requests when the server stops.
    drain_seconds: Option<u32>,
}

/// A path relative to the folder of the file.
pub(super) fn below(folder: &Path, path: PathBuf) -> PathBuf {
    // `./store` is shown as `store`.
    if folder == Path::new(".") { path } else { folder.join(path) }
}

/// The JSON Schema of the file.
pub(crate) fn json_schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Document).to_value();
    schema["properties"]["apiVersion"]["const"] = API_VERSION.into();
    schema["properties"]["kind"]["const"] = KIND.into();
    schema["properties"]["listeners"]["minItems"] = 1.into();
    let given = |name: &str| serde_json::json!({ "required": [name] });
    schema["$defs"]["ListenerText"]["oneOf"] =
        [given("address"), given("unix"), given("systemd")].into_iter().collect();
    schema
}

/// Where an error is.
struct Place<'a> {
    path: &'a Path,
    line: Option<u64>,
}

impl Place<'_> {
    fn error(&self, message: &str) -> Usage {
        let line = self.line.map(|line| format!(", line {line}")).unwrap_or_default();
        let message = format!("the registry configuration `{}`{line}: {message}", self.path.display());
        Usage { message, hint: HINT }
    }
}

/// Parses the text of the file at a path. The result still has to meet the rules of [`Plan::check`].
pub(super) fn parse(text: &str, path: &Path) -> Result<Plan, Usage> {
    let place = |line| Place { path, line };
    // YAML has more words for `true`; for the schema and for users, they are strings.
    let options = serde_saphyr::options! { strict_booleans: true };
    let document: Document = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let (line, message) = yaml_error::describe(&error);
        place(line).error(&message)
    })?;
    for (field, found, expected) in
        [("apiVersion", &document.api_version, API_VERSION), ("kind", &document.kind, KIND)]
    {
        if found.value != expected {
            let message = format!("`{field}` is `{}`, expected `{expected}`", found.value);
            return Err(place(line_of(found)).error(&message));
        }
    }
    document.plan(&place)
}

impl Document {
    fn plan<'a>(self, place: &dyn Fn(Option<u64>) -> Place<'a>) -> Result<Plan, Usage> {
        let folder = input::folder_of(place(None).path);
        let mut authority = Authority::default();
        let mut listeners = Vec::new();
        match self.listeners {
            Some(list) if list.value.is_empty() => {
                return Err(place(line_of(&list)).error("`listeners` is empty, expected at least one entry"));
            }
            Some(list) => {
                for listener in list.value {
                    let place = place(line_of(&listener));
                    let listener = listener.value.listen(folder, &mut authority);
                    listeners.push(listener.map_err(|message| place.error(&message))?);
                }
            }
            None => {
                let text = ListenerText { address: Some(DEFAULT_LISTENER.to_owned()), ..Default::default() };
                let listener = text.listen(folder, &mut authority);
                listeners.push(listener.map_err(|message| place(None).error(&message))?);
            }
        }
        let proxies = self.trusted_proxies.iter().map(|text| {
            text.value.parse::<Cidr>().map_err(|error| place(line_of(text)).error(&error.to_string()))
        });
        let registry_name = self.gates.registry_name.map(|text| {
            let parsed = text.value.parse::<RegistryHost>();
            parsed.map_err(|error| place(line_of(&text)).error(&format!("`registryName`: {error}")))
        });
        let limits = self.limits.map(|text| {
            let line = line_of(&text);
            text.value.limits().map_err(|message| place(line).error(&message))
        });
        let inbox = self
            .gates
            .inbox
            .map(|text| text.value.limits().map_err(|message| place(line_of(&text)).error(&message)));
        let limits = limits.transpose()?.unwrap_or_default();
        let scrub = self.scrub.map(|text| {
            text.value.plan().map_err(|message| place(line_of(&text)).error(&format!("`scrub`: {message}")))
        });
        let rules = rules::parse(self.immutable_tags, self.quotas, self.retention);
        Ok(Plan {
            rules: Some(rules.map_err(|message| place(None).error(&message))?),
            store: below(folder, self.store),
            listeners,
            authority,
            read_only: self.read_only,
            access: self.access.below(folder),
            trust: self.trust.map(|path| below(folder, path)),
            gates: GateRules {
                name_rule: if self.gates.allow_unnamed { NameRule::Optional } else { NameRule::Required },
                registry_name: registry_name.transpose()?,
            },
            proxies: proxies.collect::<Result<_, _>>()?,
            limits: Limits { inbox: inbox.transpose()?, ..limits },
            scrub: scrub.transpose()?,
            form: Form::File,
        })
    }
}

impl ListenerText {
    fn listen(self, folder: &Path, authority: &mut Authority) -> Result<Listen, String> {
        let at = match (self.address, self.unix, self.systemd) {
            (Some(address), None, None) => {
                At::Address(listen(&address).map_err(|error| format!("`address`: {error}"))?)
            }
            (None, Some(path), None) => At::Unix(below(folder, path)),
            (None, None, Some(name)) => At::Systemd(Some(name)),
            (None, None, None) => {
                return Err("a listener has no `address`, `unix` or `systemd`, expected one".to_owned());
            }
            _ => {
                return Err(
                    "a listener has several of `address`, `unix` and `systemd`, expected one".to_owned()
                );
            }
        };
        if matches!(at, At::Unix(_)) && (self.tls.is_some() || self.plain_http) {
            return Err("`tls` and `plainHTTP` do not apply to `unix`: a Unix socket needs no TLS".to_owned());
        }
        if self.tls.is_some() && self.plain_http {
            return Err("`plainHTTP` contradicts `tls`".to_owned());
        }
        let client_ca = self.tls.as_ref().and_then(|tls| tls.client_ca.clone());
        let client_ca = client_ca.map(|path| below(folder, path));
        let security = match self.tls {
            None => Security::Plain { allowed: self.plain_http },
            Some(tls) => tls.security(folder, authority)?,
        };
        Ok(Listen { at, security, client_ca })
    }
}

impl TlsText {
    fn security(self, folder: &Path, authority: &mut Authority) -> Result<Security, String> {
        match (self.cert, self.key, self.self_signed) {
            (None, None, true) => {
                let own = self.folder.map(|path| below(folder, path));
                if own.is_some() && authority.folder.is_some() && own != authority.folder {
                    return Err("`folder` differs between listeners, expected one CA".to_owned());
                }
                authority.folder = own.or_else(|| authority.folder.take());
                let new = self.names.into_iter().filter(|name| !authority.names.contains(name));
                let new: Vec<_> = new.collect();
                authority.names.extend(new);
                Ok(Security::SelfSigned)
            }
            (Some(_), Some(_), false) if !self.names.is_empty() || self.folder.is_some() => {
                Err("`names` and `folder` need `selfSigned: true`".to_owned())
            }
            (Some(cert), Some(key), false) => {
                Ok(Security::Files { cert: below(folder, cert), key: below(folder, key) })
            }
            _ => Err("`tls` needs either `cert` and `key`, or `selfSigned: true`".to_owned()),
        }
    }
}

impl LimitsText {
    fn limits(self) -> Result<Limits, String> {
        let least = [
            ("connections", self.connections, 1),
            ("transfers", self.transfers, 1),
            ("memoryMiB", self.memory, 8),
            ("manifestMiB", self.manifest, 4),
            ("tagsPerPush", self.tags_per_push, 1),
            ("idleSeconds", self.idle_seconds, 1),
            ("stallSeconds", self.stall_seconds, 1),
        ];
        for (name, value, least) in least {
            if value.is_some_and(|value| value < least) {
                return Err(format!("`limits.{name}` is too small, expected at least {least}"));
            }
        }
        let usual = Limits::default();
        let number = |value: Option<u32>, usual: usize| value.map_or(usual, |value| value as usize);
        let mib = |value: Option<u32>, usual: usize| value.map_or(usual, |mib| (mib as usize) << 20);
        let seconds = |value: Option<u32>, usual: Duration| {
            value.map_or(usual, |seconds| Duration::from_secs(u64::from(seconds)))
        };
        let limits = Limits {
            connections: number(self.connections, usual.connections),
            per_client: number(self.connections_per_client, usual.per_client),
            transfers: number(self.transfers, usual.transfers),
            memory: mib(self.memory, usual.memory),
            manifest_bytes: mib(self.manifest, usual.manifest_bytes),
            tags_per_push: number(self.tags_per_push, usual.tags_per_push),
            naming: self.referrers_per_user.map_or(usual.naming, naming),
            free_bytes: self.free.map_or(usual.free_bytes, |mib| u64::from(mib) << 20),
            idle: seconds(self.idle_seconds, usual.idle),
            stall: seconds(self.stall_seconds, usual.stall),
            bytes_per_second: self.bytes_per_second.unwrap_or(usual.bytes_per_second),
            drain: seconds(self.drain_seconds, usual.drain),
            ..usual
        };
        if limits.manifest_bytes > limits.memory / 2 {
            return Err(
                "`limits.manifestMiB` is more than half of `limits.memoryMiB`, the share of one client"
                    .to_owned(),
            );
        }
        Ok(limits)
    }
}

fn line_of<T>(spanned: &Spanned<T>) -> Option<u64> {
    Some(spanned.referenced.line()).filter(|line| *line > 0)
}

#[cfg(test)]
mod tests;
