//! The image to sign or verify: its location and its name.

use std::path::PathBuf;

use anyhow::Context as _;
use bundle_signer::ImageName;
use evidence::{self, EvidenceSource};
use oci::{Reference, RepositoryName, Selector};
use registry::client::{Client, ClientConfig, HostRule, ProxySettings};

use crate::cli::ImageArg;
use crate::env;
use crate::failure::Usage;
use crate::logged::acting;

/// An image that the user named.
pub(crate) struct Image {
    pub(crate) source: EvidenceSource,
    pub(crate) selector: Selector,
    pub(crate) name: ImageName,
    /// As typed.
    pub(crate) text: String,
}

impl Image {
    pub(crate) fn find(arg: &ImageArg) -> anyhow::Result<Self> {
        let text = arg.reference.clone().unwrap_or_default();
        let reference: Reference = text.parse().map_err(|error| Usage {
            message: format!("`{text}` is not an image reference: {error}"),
            hint: "a reference is HOST/REPOSITORY with a tag or a digest",
        })?;
        let selector = reference.selector();
        let given = arg.name.as_deref().map(str::parse::<ImageName>).transpose()?;
        let (source, name) = match &arg.store {
            None => {
                let client = client(&reference, arg)?;
                let (host, repository) = (reference.host().clone(), reference.repository().clone());
                (EvidenceSource::Registry(client, host, repository), Some(ImageName::from(&reference)))
            }
            Some(folder) => {
                let store = store::Store::open_existing(folder)?;
                acting(&store, "sign");
                find_in_store(&text, &reference, store)?
            }
        };
        let name = given.or(name).ok_or_else(|| Usage {
            message: format!(
                "the name of `{text}` in the store does not contain the registry that it will be pulled from"
            ),
            hint: "give its name in that registry: --name HOST/REPOSITORY",
        })?;
        Ok(Self { source, selector, name, text })
    }
}

/// The repository with this exact name in the store, otherwise the one that was mirrored from the reference.
fn find_in_store(
    text: &str,
    reference: &Reference,
    store: store::Store,
) -> anyhow::Result<(EvidenceSource, Option<ImageName>)> {
    let own = text.split_once('@').map_or(text, |(name, _)| name);
    let own = match own.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => own,
    };
    let below = reference.host().as_repository()?;
    let mirrored = reference.repository().below(&below)?;
    if let Ok(own) = own.parse::<RepositoryName>()
        && own != mirrored
        && store.repository_exists(&own)?
    {
        return Ok((EvidenceSource::Store(store, own), None));
    }
    Ok((EvidenceSource::Store(store, mirrored), Some(ImageName::from(reference))))
}

fn client(reference: &Reference, arg: &ImageArg) -> anyhow::Result<Client> {
    let read = |path: &PathBuf| {
        input::read(path, input::MAX_SIZE).with_context(|| format!("cannot read `{}`", path.display()))
    };
    let host = reference.host().clone();
    let rule = HostRule {
        endpoint: host.endpoint().parse()?,
        host,
        prefix: None,
        plain_http: arg.plain_http,
        ca_pem: arg.ca_file.as_ref().map(read).transpose()?,
    };
    interactive_client(vec![rule], docker_config())
}

/// A client for interactive commands: a registry that is silent for 30 seconds counts as unreachable.
pub(crate) fn interactive_client(
    hosts: Vec<HostRule>,
    docker_config: Option<PathBuf>,
) -> anyhow::Result<Client> {
    let idle = std::time::Duration::from_secs(30);
    let config = ClientConfig { hosts, docker_config, idle, proxies: proxies(), ..ClientConfig::default() };
    Ok(Client::new(config).map_err(evidence::Error::Client)?)
}

/// The proxies from the environment: upper-case variables, otherwise lower-case ones.
pub(crate) fn proxies() -> ProxySettings {
    let [http, https, all, none] = env::PROXIES.map(|name| {
        let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        value(name).or_else(|| value(&name.to_ascii_lowercase()))
    });
    ProxySettings { http, https, all, none }
}

/// Docker's configuration file, which contains passwords.
pub(crate) fn docker_config() -> Option<PathBuf> {
    let folder = std::env::var_os(env::DOCKER_CONFIG).map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os(env::HOME)?).join(".docker"));
    Some(folder.or_else(home)?.join("config.json"))
}
