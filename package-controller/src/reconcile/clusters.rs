//! The clusters that packages are installed in: this one, and those whose kubeconfigs lie here as Secrets, as
//! Cluster API leaves them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use package_api::name::SYSTEM_NAMESPACE;
use tokio::sync::Mutex;

use crate::engine::Engine;
use crate::run::Context;
use crate::words;

/// The field manager, and who events come from.
pub(super) const MANAGER: &str = "airlock";
/// How long a kubeconfig counts before it is looked at again.
const FRESH: Duration = Duration::from_mins(1);
/// How long a cluster may take for one answer.
const ANSWER: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);

/// A cluster that packages are installed in.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) client: Client,
    pub(super) engine: Engine,
}

/// Why a cluster is not to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Nothing here says how to reach it.
    Unknown(String),
    /// It may come back.
    Away(String),
}

impl Lost {
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Unknown(words) | Self::Away(words) => words,
        }
    }
}

/// All clusters.
pub(super) struct Clusters {
    context: Context,
    management: Target,
    known: Mutex<HashMap<String, Known>>,
}

struct Known {
    target: Target,
    /// Of the Secret.
    version: Option<String>,
    looked: Instant,
}

impl Clusters {
    pub(super) fn new(context: Context) -> Self {
        let management = target(&context, context.kube.clone());
        Self { context, management, known: Mutex::default() }
    }

    /// A cluster by its name.
    pub(super) async fn target(&self, name: &str) -> Result<Target, Lost> {
        if name == self.context.settings.cluster {
            return Ok(self.management.clone());
        }
        let mut known = self.known.lock().await;
        if let Some(known) = known.get(name)
            && known.looked.elapsed() < FRESH
        {
            return Ok(known.target.clone());
        }
        let about = |words: String| format!("getting kubeconfig for cluster {name:?}: {words}");
        let secrets = Api::<Secret>::namespaced(self.context.kube.clone(), SYSTEM_NAMESPACE);
        let secret = secrets.get_opt(&format!("{name}-kubeconfig")).await;
        let secret = secret.map_err(|error| Lost::Away(about(words(&error))))?;
        let Some(secret) = secret else {
            known.remove(name);
            return Err(Lost::Unknown(about(format!("secrets \"{name}-kubeconfig\" not found"))));
        };
        let version = secret.metadata.resource_version.clone();
        let same = known.get(name).filter(|known| known.version == version && version.is_some());
        let target = if let Some(known) = same {
            known.target.clone()
        } else {
            let client = client(&secret).await.map_err(|error| Lost::Away(about(error)))?;
            target(&self.context, client)
        };
        known.insert(name.to_owned(), Known { target: target.clone(), version, looked: Instant::now() });
        Ok(target)
    }
}

fn target(context: &Context, client: Client) -> Target {
    let (registry, mirror) = (context.registry.clone(), context.settings.mirror.clone());
    Target { engine: Engine::new(client.clone(), registry, mirror, MANAGER), client }
}

async fn client(secret: &Secret) -> Result<Client, String> {
    let data = secret.data.as_ref().and_then(|data| data.get("value"));
    let data = data.ok_or("the secret has no key \"value\"")?;
    let text = std::str::from_utf8(&data.0).map_err(|error| words(&error))?;
    let file = Kubeconfig::from_yaml(text).map_err(|error| words(&error))?;
    refuse_the_host_s(&file)?;
    let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(|error| words(&error))?;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(ANSWER);
    config.write_timeout = Some(ANSWER);
    Client::try_from(config).map_err(|error| words(&error))
}

/// A Secret must bring all that it needs: whoever may write one shall not make this process run programs or read
/// files.
fn refuse_the_host_s(file: &Kubeconfig) -> Result<(), &'static str> {
    let logins = file.auth_infos.iter().filter_map(|named| named.auth_info.as_ref());
    for login in logins {
        if login.exec.is_some() || login.auth_provider.is_some() {
            return Err("it would run a program to log in; give a token or a certificate");
        }
        if login.token_file.is_some() || login.client_certificate.is_some() || login.client_key.is_some() {
            return Err("it names files; give their content as `...-data`");
        }
    }
    let clusters = file.clusters.iter().filter_map(|named| named.cluster.as_ref());
    if clusters.into_iter().any(|cluster| cluster.certificate_authority.is_some()) {
        return Err("it names files; give their content as `...-data`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_of_a_secret_runs_nothing_and_reads_nothing() {
        let file = |user: &str, cluster: &str| {
            Kubeconfig::from_yaml(&format!(
                "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: https://c{cluster}}}}}]\n\
                 users: [{{name: u, user: {{{user}}}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n\
                 current-context: x\n"
            ))
            .unwrap()
        };
        assert_eq!(refuse_the_host_s(&file("token: t, client-certificate-data: eA==", "")), Ok(()));
        for (user, cluster) in [
            ("exec: {apiVersion: client.authentication.k8s.io/v1, command: sh}", ""),
            ("auth-provider: {name: gcp, config: {}}", ""),
            ("tokenFile: /var/run/secrets/token", ""),
            ("client-certificate: /etc/x", ""),
            ("client-key: /etc/x", ""),
            ("token: t", ", certificate-authority: /etc/x"),
        ] {
            assert!(refuse_the_host_s(&file(user, cluster)).is_err(), "{user}{cluster}");
        }
    }
}
