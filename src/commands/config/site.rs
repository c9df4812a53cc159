//! The site's values for all clients, from the arguments.

use std::collections::BTreeMap;

use mirror::lock::{ItemKind, Lock};
use mirror::source::FILE_TYPE;
use oci::{RegistryHost, RepositoryName};
use store::Store;

use super::Config;
use crate::commands::credentials::Credentials;
use crate::failure::Usage;
use crate::files::read;
use crate::printer::Printer;

/// A registry that replaces others.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) registry: Endpoint,
    /// Each mirrored host, with the prefix of its repositories in the registry.
    pub(super) mirrors: BTreeMap<RegistryHost, Option<RepositoryName>>,
    /// The CA certificate, PEM.
    pub(super) ca: Option<String>,
    pub(super) skip_verify: bool,
    pub(super) credentials: Option<Credentials>,
    pub(super) fallback: bool,
    /// Whether the registry replaces every other one, too.
    pub(super) closed_world: bool,
}

/// The address of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) plain: bool,
    /// Host and port as they were typed: `:443` stays, because it is part of the name that clients look up.
    pub(super) host: RegistryHost,
}

impl Endpoint {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let (plain, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (_, Some(rest)) => (true, rest),
            (Some(rest), None) => (false, rest),
            (None, None) => (false, text),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let refused = || Usage {
            message: format!("`{text}` is not the URL of a registry"),
            hint: "use https://HOST or https://HOST:PORT, without a path",
        };
        let host = rest.parse().map_err(|_| refused())?;
        if rest.is_empty() { Err(refused().into()) } else { Ok(Self { plain, host }) }
    }

    /// `https://host:port`.
    pub(super) fn url(&self) -> String {
        format!("{}://{}", if self.plain { "http" } else { "https" }, self.host)
    }

    /// The host without port or brackets, and the port.
    pub(super) fn parts(&self) -> (String, Option<String>) {
        let text = self.host.as_str();
        if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']').unwrap_or((rest, ""));
            return (address.to_owned(), port.strip_prefix(':').map(str::to_owned));
        }
        match text.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port.to_owned())),
            None => (text.to_owned(), None),
        }
    }
}

impl Site {
    pub(super) fn read(settings: &Config, printer: &Printer) -> anyhow::Result<Self> {
        let registry = Endpoint::parse(&settings.registry)?;
        if registry.plain && (settings.ca_file.is_some() || settings.insecure_skip_verify) {
            let message = "plain HTTP has no certificate".to_owned();
            return Err(Usage {
                message,
                hint: "use https:// in --registry, or omit --ca-file and --insecure-skip-verify",
            }
            .into());
        }
        let mut mirrors = BTreeMap::new();
        let mut found = Vec::new();
        if let Some(path) = &settings.store {
            let store = Store::open_existing(path)?;
            for name in store.repositories(None, None)? {
                if has_images(&store, &name)? {
                    found.push(name);
                }
            }
        }
        if let Some(path) = &settings.lock {
            let items = Lock::read(path)?.items.into_iter();
            found.extend(items.filter(|item| item.kind != ItemKind::File).map(|item| item.repository));
        }
        for name in &found {
            mirrors.extend(host_of(name, &mirrors, printer));
        }
        for text in &settings.mirror {
            let (host, namespace) = mirror(text)?;
            mirrors.insert(host, namespace);
        }
        if mirrors.is_empty() {
            let message = "no upstream registries given".to_owned();
            return Err(Usage {
                message,
                hint: "name the upstream registries with --mirror, --store or --lock",
            }
            .into());
        }
        let ca = settings.ca_file.as_deref().map(read).transpose()?;
        if let Some(text) = &ca
            && !text.contains("-----BEGIN CERTIFICATE-----")
        {
            let message = "--ca-file contains no PEM certificate".to_owned();
            return Err(Usage {
                message,
                hint: "`airlock serve --self-signed` keeps its CA in the store: `tls/ca.crt`",
            }
            .into());
        }
        Ok(Self {
            registry,
            mirrors,
            ca,
            skip_verify: settings.insecure_skip_verify,
            credentials: settings.credentials.as_deref().map(Credentials::read).transpose()?,
            fallback: settings.fallback,
            closed_world: settings.closed_world,
        })
    }

    /// The prefix of a host's repositories: `host:port/namespace`.
    pub(super) fn location(&self, namespace: Option<&RepositoryName>) -> String {
        match namespace {
            Some(namespace) => format!("{}/{namespace}", self.registry.host),
            None => self.registry.host.to_string(),
        }
    }
}

/// Whether a repository has anything but plain files, which no node pulls.
fn has_images(store: &Store, name: &RepositoryName) -> anyhow::Result<bool> {
    for row in store.manifests(name)? {
        let manifest = store.manifest(name, &row.digest)?;
        if manifest.is_some_and(|manifest| manifest.artifact_type() != Some(FILE_TYPE)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `HOST`, `HOST=NAMESPACE` or `HOST=`.
fn mirror(text: &str) -> anyhow::Result<(RegistryHost, Option<RepositoryName>)> {
    let usage = || Usage {
        message: format!("`{text}` is not a valid value of --mirror"),
        hint: "use HOST, HOST=NAMESPACE, or HOST= for no namespace",
    };
    let (host, namespace) = text.split_once('=').map_or((text, None), |(host, name)| (host, Some(name)));
    if host.is_empty() {
        return Err(usage().into());
    }
    let host: RegistryHost = host.parse().map_err(|_| usage())?;
    let namespace = match namespace {
        None => Some(host.as_repository().map_err(|_| usage())?),
        Some("") => None,
        Some(name) => Some(name.parse().map_err(|_| usage())?),
    };
    Ok((host, namespace))
}

/// The registry that a repository of the store was mirrored from, if its name begins with one that is not known yet.
fn host_of(
    name: &RepositoryName,
    known: &BTreeMap<RegistryHost, Option<RepositoryName>>,
    printer: &Printer,
) -> Option<(RegistryHost, Option<RepositoryName>)> {
    let (first, _) = name.as_str().split_once('/')?;
    if !first.contains('.') && first != "localhost" {
        return None;
    }
    let host: RegistryHost = first.parse().ok()?;
    let namespace = host.as_repository().ok()?;
    if known.contains_key(&host) {
        return None;
    }
    // A port is written as `-5000`, but a name can end like that, too.
    let port = first.rsplit_once('-').is_some_and(|(_, end)| end.parse::<u16>().is_ok());
    if port {
        printer.say(&format!("note: `{first}` may be a host with a port; if so, give --mirror HOST:PORT"));
        return None;
    }
    Some((host, Some(namespace)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_named_by_a_url_without_path() {
        let parts = |text: &str| {
            let endpoint = Endpoint::parse(text).unwrap();
            let (host, port) = endpoint.parts();
            (endpoint.url(), host, port.unwrap_or_default())
        };
        let expected = |url: &str, host: &str, port: &str| (url.to_owned(), host.to_owned(), port.to_owned());
        assert_eq!(parts("https://r.site:443/"), expected("https://r.site:443", "r.site", "443"));
        assert_eq!(parts("http://10.0.0.1:5000"), expected("http://10.0.0.1:5000", "10.0.0.1", "5000"));
        assert_eq!(parts("r.site"), expected("https://r.site", "r.site", ""));
        assert_eq!(parts("https://[fd00::1]:443"), expected("https://[fd00::1]:443", "fd00::1", "443"));
        for bad in
            ["", "https://", "https://r.site/path", "https://a b", "ftp://r.site", "https://u:p@r.site"]
        {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mirror_has_its_own_name_as_namespace_by_default() {
        let namespace = |text: &str| mirror(text).unwrap().1.map(|name| name.to_string());
        assert_eq!(namespace("public.ecr.aws").as_deref(), Some("public.ecr.aws"));
        assert_eq!(namespace("registry.local:5000").as_deref(), Some("registry.local-5000"));
        assert_eq!(namespace("public.ecr.aws=eks/anywhere").as_deref(), Some("eks/anywhere"));
        assert_eq!(namespace("public.ecr.aws="), None);
        for bad in ["", "=x", "a b", "public.ecr.aws=UPPER", "https://public.ecr.aws"] {
            assert!(mirror(bad).is_err(), "{bad}");
        }
    }
}
