//! Another cluster, by the Secret with its kubeconfig that Cluster API leaves here: for the webhooks and the controllers.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

use brief::words;

/// How long a cluster may take for one answer.
const ANSWER: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);

/// A client for the cluster.
///
/// # Errors
/// What is wrong with the Secret, for people.
pub async fn client(secret: &Secret) -> Result<Client, String> {
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
