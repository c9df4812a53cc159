//! Kubeconfigs, as `kubectl` finds and merges them.

use std::path::{Path, PathBuf};

use kube::config::{Kubeconfig, KubeconfigError};
use package_controller::read_kubeconfig;

use crate::env;

/// Reads the named kubeconfig, or those of the environment.
pub(super) fn read(named: Option<&Path>) -> Result<Kubeconfig, KubeconfigError> {
    let paths = match named {
        Some(path) => vec![path.to_owned()],
        None => paths()?,
    };
    paths.iter().try_fold(Kubeconfig::default(), |merged, path| merged.merge(read_kubeconfig(path)?))
}

/// The files in `KUBECONFIG`, or else the default file.
fn paths() -> Result<Vec<PathBuf>, KubeconfigError> {
    let listed = std::env::var_os(env::KUBECONFIG).unwrap_or_default();
    let listed = std::env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty());
    let listed: Vec<PathBuf> = listed.collect();
    if !listed.is_empty() {
        return Ok(listed);
    }
    let home = std::env::home_dir().ok_or(KubeconfigError::FindPath)?;
    Ok(vec![home.join(".kube/config")])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TEXT: &str = "\u{feff}apiVersion: v1
kind: Config
clusters:
- {name: c, cluster: {server: 'https://127.0.0.1', certificate-authority: ca.crt}}
users:
- name: u
  user: {client-certificate: /abs/u.crt, tokenFile: ../token, exec: {command: bin/login}}
- name: v
  user: {client-key: v.key, exec: {command: aws}}
contexts:
- {name: x, context: {cluster: c, user: u}}
";

    #[test]
    fn paths_are_relative_to_the_folder_of_the_kubeconfig() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        fs::write(&path, TEXT).unwrap();
        let config = read(Some(&path)).unwrap();
        let below = |name: &str| Some(format!("{}/{name}", folder.path().display()));
        assert_eq!(config.clusters[0].cluster.as_ref().unwrap().certificate_authority, below("ca.crt"));
        let user = |index: usize| config.auth_infos[index].auth_info.clone().unwrap();
        assert_eq!(user(0).client_certificate.as_deref(), Some("/abs/u.crt"));
        assert_eq!(user(0).token_file, below("../token"));
        assert_eq!(user(0).exec.unwrap().command, below("bin/login"));
        assert_eq!(user(1).client_key, below("v.key"));
        assert_eq!(user(1).exec.unwrap().command.as_deref(), Some("aws"));
        // `kube` reads it alike.
        let expected = serde_json::to_value(Kubeconfig::read_from(&path).unwrap()).unwrap();
        assert_eq!(serde_json::to_value(&config).unwrap(), expected);
    }

    #[test]
    fn a_missing_kubeconfig_is_named() {
        let missing = read(Some(Path::new("no/such/file")));
        assert!(
            matches!(missing, Err(KubeconfigError::ReadConfig(_, path)) if path == Path::new("no/such/file"))
        );
    }
}
