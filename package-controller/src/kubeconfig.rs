//! Reads a kubeconfig as `kubectl` does, for the controller and for the commands about clusters.

use std::path::Path;

use kube::config::{Kubeconfig, KubeconfigError};

/// The maximum size of a kubeconfig.
const MAX_SIZE: u64 = 8 << 20;

/// Reads a kubeconfig within a size limit.
///
/// # Errors
/// The file cannot be read, is too large, or is not a kubeconfig.
pub fn read_kubeconfig(path: &Path) -> Result<Kubeconfig, KubeconfigError> {
    let text = input::read_text(path, MAX_SIZE);
    let text = text.map_err(|source| KubeconfigError::ReadConfig(source, path.to_owned()))?;
    let mut config = Kubeconfig::from_yaml(text.trim_start_matches('\u{feff}'))?;
    resolve_paths(&mut config, input::folder_of(path));
    Ok(config)
}

/// Makes the paths in a kubeconfig, which are relative to its folder, independent of it.
fn resolve_paths(config: &mut Kubeconfig, folder: &Path) {
    let resolve = |path: &mut String| {
        if let Some(resolved) = folder.join(&*path).to_str() {
            resolved.clone_into(path);
        }
    };
    let clusters = config.clusters.iter_mut().filter_map(|named| named.cluster.as_mut());
    clusters.filter_map(|cluster| cluster.certificate_authority.as_mut()).for_each(resolve);
    for user in config.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
        let files = [&mut user.client_certificate, &mut user.client_key, &mut user.token_file];
        files.into_iter().flatten().for_each(resolve);
        // A command without a slash is searched in `PATH`.
        let command = user.exec.as_mut().and_then(|exec| exec.command.as_mut());
        command.filter(|command| command.contains('/')).into_iter().for_each(resolve);
    }
}
