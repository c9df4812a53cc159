//! Clients for other clusters, from the Secrets with kubeconfigs that Cluster API creates. Used by the webhooks and the
//! controllers.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

use error_text::one_line;

/// The timeout of one request to a cluster.
const RESPONSE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);

/// A client for the cluster of a Secret.
///
/// # Errors
/// The problem of the Secret, as text for people.
pub async fn client(secret: &Secret) -> Result<Client, String> {
    let data = secret.data.as_ref().and_then(|data| data.get("value"));
    let data = data.ok_or("the Secret has no key `value`")?;
    let text = std::str::from_utf8(&data.0).map_err(|error| one_line(&error))?;
    let file = Kubeconfig::from_yaml(text).map_err(|error| one_line(&error))?;
    reject_host_access(&file)?;
    let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(|error| one_line(&error))?;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(RESPONSE);
    config.write_timeout = Some(RESPONSE);
    Client::try_from(config).map_err(|error| one_line(&error))
}

/// Rejects kubeconfigs that run programs or read files: users who can write a Secret must not be able to make this
/// process do so.
fn reject_host_access(file: &Kubeconfig) -> Result<(), &'static str> {
    let logins = file.auth_infos.iter().filter_map(|named| named.auth_info.as_ref());
    for login in logins {
        if login.exec.is_some() || login.auth_provider.is_some() {
            return Err(
                "the kubeconfig runs a program to log in; use a token or a client certificate instead",
            );
        }
        if login.token_file.is_some() || login.client_certificate.is_some() || login.client_key.is_some() {
            return Err(
                "the kubeconfig refers to files; specify their content in the `...-data` fields instead",
            );
        }
    }
    let clusters = file.clusters.iter().filter_map(|named| named.cluster.as_ref());
    if clusters.into_iter().any(|cluster| cluster.certificate_authority.is_some()) {
        return Err("the kubeconfig refers to files; specify their content in the `...-data` fields instead");
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
        assert_eq!(reject_host_access(&file("token: t, client-certificate-data: eA==", "")), Ok(()));
        for (user, cluster) in [
            ("exec: {apiVersion: client.authentication.k8s.io/v1, command: sh}", ""),
            ("auth-provider: {name: gcp, config: {}}", ""),
            ("tokenFile: /var/run/secrets/token", ""),
            ("client-certificate: /etc/x", ""),
            ("client-key: /etc/x", ""),
            ("token: t", ", certificate-authority: /etc/x"),
        ] {
            assert!(reject_host_access(&file(user, cluster)).is_err(), "{user}{cluster}");
        }
    }
}
