//! Tests the real binary with real clients. skopeo, podman and containerd pull the content that a quickstart serves, over
//! plain HTTP and over TLS with a password; runc runs it; and stock cosign checks the drive's signature. Drives are also
//! packed onto FAT32 and exFAT. `clients` logs in with all clients that sites use.

#[cfg(test)]
mod clients;
#[cfg(test)]
#[expect(dead_code, reason = "other suites use the rest")]
mod programs;
#[cfg(test)]
mod removable;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod signing;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::rig::{Containerd, Site, require, run};

    const IMAGE: &str = "registry.example/demo/airlock:0.1.0";
    const USER: &str = "alice:open sesame";
    const HTPASSWD: &str = "alice:$2y$05$DNTZIRj6ATkCh9at1M0IfuZCGpbfhnahBQzJ8/zltIw1bV9Bya8xe\n";

    /// The address of the site, and the CA certificate if it uses TLS.
    struct Access<'a> {
        address: &'a str,
        ca: Option<&'a Path>,
    }

    #[test]
    fn skopeo_podman_and_containerd_pull_the_content_of_the_upstream() {
        if !require(&["skopeo", "podman", "runc", "containerd", "ctr"]) {
            return;
        }
        let site = Site::quickstart();
        let containerd = Containerd::start(&site.path("containerd"));
        let plain = site.serve(&[]);
        std::fs::write(site.path("users"), HTPASSWD).unwrap();
        let secret = site.serve(&["--self-signed", "--tls-dir", "tls", "--htpasswd", "users"]);
        let ca = site.path("tls/ca.crt");
        let accesses = [
            Access { address: &plain.address, ca: None },
            Access { address: &secret.address, ca: Some(&ca) },
        ];
        for (number, access) in accesses.iter().enumerate() {
            let certs = site.path(&format!("certs{number}"));
            std::fs::create_dir(&certs).unwrap();
            if let Some(ca) = access.ca {
                std::fs::copy(ca, certs.join("ca.crt")).unwrap();
            }
            skopeo(&site, access, &certs);
            podman(&site, access, &certs);
            ctr(&site, &containerd, access, &certs);
        }
    }

    /// Docker's daemon behaves like these clients: it requests `/v2/` and logs in as the challenge describes.
    #[test]
    fn r1_with_anonymous_pull_clients_pull_without_a_password_and_log_in_and_push_with_the_right_one() {
        if !require(&["skopeo", "podman"]) {
            return;
        }
        let site = Site::quickstart();
        std::fs::write(site.path("users"), HTPASSWD).unwrap();
        let served = site.serve(&["--htpasswd", "users", "--anonymous-pull"]);
        let source = format!("docker://{}/{IMAGE}", served.address);
        let target = format!("docker://{}/pushed/here:v1", served.address);
        let auth = site.path("auth.json").display().to_string();
        let good = |program: &str, arguments: &[&str]| {
            let output = std::process::Command::new(program).args(arguments).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            (output.status.success(), said)
        };
        let copy = [
            "copy",
            "--quiet",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            "--dest-authfile",
            &auth,
        ];
        let copy = [&copy[..], &["--src-no-creds", &source, &target]].concat();
        for program in ["podman", "skopeo"] {
            let login =
                ["login", "--tls-verify=false", "--authfile", &auth, "--username", "alice", "--password"];
            let (logged_in, said) = good(program, &[&login[..], &["wrong", &served.address]].concat());
            assert!(!logged_in && said.contains("invalid username/password"), "{program}: {said}");
            let inspect = ["inspect", "--tls-verify=false", "--no-creds", &source];
            assert!(good("skopeo", &inspect).0, "it cannot pull without a password");
            assert!(!good("skopeo", &copy).0, "it pushed without a password");
            let (logged_in, said) = good(program, &[&login[..], &["open sesame", &served.address]].concat());
            assert!(logged_in, "{program}: {said}");
            let (pushed, said) = good("skopeo", &copy);
            assert!(pushed, "{said}");
            let (out, said) = good(program, &["logout", "--authfile", &auth, &served.address]);
            assert!(out, "{program}: {said}");
        }
    }

    fn skopeo(site: &Site, access: &Access<'_>, certs: &Path) {
        let copy = site.path(&format!("copy-{}", access.address.replace(':', "-")));
        let (source, target) =
            (format!("docker://{}/{IMAGE}", access.address), format!("oci:{}", copy.display()));
        let certs = certs.display().to_string();
        let flags: &[&str] = match access.ca {
            None => &["--src-tls-verify=false"],
            Some(_) => &["--src-cert-dir", &certs, "--src-creds", USER],
        };
        run("skopeo", &[&["copy", "--quiet"], flags, &[&source, &target]].concat());
        let index = std::fs::read_to_string(copy.join("index.json")).unwrap();
        assert!(index.contains(&site.digest), "skopeo: {index}");
        if access.ca.is_some() {
            let refused = std::process::Command::new("skopeo")
                .args(["inspect", "--cert-dir", &certs, "--creds", "alice:wrong", &source])
                .output()
                .unwrap();
            assert!(!refused.status.success(), "a wrong password was accepted");
        }
    }

    fn podman(site: &Site, access: &Access<'_>, certs: &Path) {
        let folder = site.path(&format!("podman-{}", access.address.replace(':', "-")));
        let (root, runroot) = (folder.join("root"), folder.join("run"));
        let store = ["--root", root.to_str().unwrap(), "--runroot", runroot.to_str().unwrap()];
        let common =
            [&store[..], &["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--runtime", "runc"]]
                .concat();
        let name = format!("{}/{IMAGE}", access.address);
        let image = name.as_str();
        let certs = certs.display().to_string();
        let flags: &[&str] = match access.ca {
            None => &["--tls-verify=false"],
            Some(_) => &["--cert-dir", &certs, "--creds", USER],
        };
        run("podman", &[&common, &["pull", "--quiet"][..], flags, &[image]].concat());
        let digest =
            run("podman", &[&common, &["image", "inspect", "--format", "{{.Digest}}", image][..]].concat());
        assert_eq!(digest.trim(), site.digest);
        let bounds = ["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096", "--network", "none"];
        let said = run("podman", &[&common, &["run", "--rm"][..], &bounds, &[image]].concat());
        assert_eq!(said.trim(), concat!("airlock ", env!("CARGO_PKG_VERSION")));
        run("podman", &[&common, &["rmi", "--force", image][..]].concat());
    }

    /// Pulls over plain HTTP with the `hosts.toml` that `airlock config` writes, and over TLS with the site's own name.
    fn ctr(site: &Site, containerd: &Containerd, access: &Access<'_>, certs: &Path) {
        let (host, image) = match access.ca {
            None => ("registry.example".to_owned(), IMAGE.to_owned()),
            Some(_) => (access.address.to_owned(), format!("{}/{IMAGE}", access.address)),
        };
        let folder = if access.ca.is_none() {
            // Without a fallback to the internet, as `airlock config` writes it.
            let to = site.path(&format!("node-{}", access.address.replace(':', "-")));
            let registry = format!("http://{}", access.address);
            let place = to.display().to_string();
            let mirror = ["--mirror", &host, "--output-dir", &place];
            site.airlock(&[&["config", "containerd", "--registry", &registry][..], &mirror].concat());
            to.join("etc/containerd/certs.d").join(&host)
        } else {
            let folder = site.path(&format!("hosts-{}", access.address.replace(':', "-"))).join(&host);
            std::fs::create_dir_all(&folder).unwrap();
            let text = format!(
                "server = \"https://{0}\"\n[host.\"https://{0}\"]\n  capabilities = [\"pull\", \"resolve\"]\n  ca = \"{1}\"\n",
                access.address,
                certs.join("ca.crt").display()
            );
            std::fs::write(folder.join("hosts.toml"), text).unwrap();
            folder
        };
        let hosts = folder.parent().unwrap().display().to_string();
        let flags: &[&str] = if access.ca.is_some() { &["--user", USER] } else { &[] };
        containerd.ctr(&[&["images", "pull", "--hosts-dir", &hosts], flags, &[&image]].concat());
        let listed = containerd.ctr(&["images", "list"]);
        let line = listed.lines().find(|line| line.starts_with(&format!("{image} "))).unwrap_or_default();
        assert!(line.contains(&site.digest), "ctr: {listed}");
    }

    /// Runs the commands of `docs/signing.md` on a packed drive.
    #[test]
    fn o25_stock_cosign_accepts_the_drives_signature_as_documented() {
        if !require(&["cosign3", "cosign2", "tar"]) {
            return;
        }
        let site = Site::quickstart();
        let drive = site.path("drive/quickstart-001-of-001.tar");
        let entries = ["airlock-manifest.json", "airlock-manifest.json.sigstore.json"];
        let folder = site.path("");
        run(
            "tar",
            &["-x", "-f", drive.to_str().unwrap(), "-C", folder.to_str().unwrap(), entries[0], entries[1]],
        );
        let (manifest, bundle, key) =
            (site.path(entries[0]), site.path(entries[1]), site.path("quickstart.pub"));
        let (manifest, bundle, key) =
            (manifest.to_str().unwrap(), bundle.to_str().unwrap(), key.to_str().unwrap());
        let verify = ["verify-blob", "--key", key, "--bundle", bundle, "--insecure-ignore-tlog"];
        run("cosign3", &[&verify[..], &[manifest]].concat());
        // Version 2 requires a trusted root even if a key is given; the drive's own is sufficient.
        let root = site.path("drive/trusted_root.json");
        let old = ["--new-bundle-format", "--trusted-root", root.to_str().unwrap(), manifest];
        run("cosign2", &[&verify[..], &old].concat());
        // The documented commands are these.
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/signing.md")).unwrap();
        let page = page.replace("\\\n ", "");
        for words in [
            "cosign verify-blob --key release.pub --insecure-ignore-tlog  --bundle airlock-manifest.json.sigstore.json",
            "cosign verify-blob --key release.pub --insecure-ignore-tlog --new-bundle-format  --trusted-root",
        ] {
            assert!(page.contains(words), "{words}");
        }
        let changed = site.path("changed.json");
        let mut bytes = std::fs::read(manifest).unwrap();
        bytes[10] ^= 1;
        std::fs::write(&changed, bytes).unwrap();
        let refused = std::process::Command::new(crate::rig::program("cosign3"))
            .args(verify)
            .arg(&changed)
            .output()
            .unwrap();
        assert!(!refused.status.success(), "cosign accepted a changed manifest");
    }

    #[test]
    fn layouts_and_archives_written_by_skopeo_are_mirrored() {
        if !require(&["skopeo"]) {
            return;
        }
        let site = Site::quickstart();
        let served = site.serve(&[]);
        let source = format!("docker://{}/{IMAGE}", served.address);
        for (target, name) in
            [("oci", "layout:v1"), ("oci-archive", "image.tar:v1"), ("docker-archive", "saved.tar:a/b:v1")]
        {
            let target = format!("{target}:{}", site.path(name).display());
            run("skopeo", &["copy", "--quiet", "--src-tls-verify=false", &source, &target]);
        }
        let text = "apiVersion: airlock.dev/v1alpha1
kind: MirrorConfig
metadata: {name: disk}
sources:
  - ociLayout: {path: layout, image: v1, reference: 'disk.example/layout:v1'}
  - ociArchive: {path: image.tar, reference: 'disk.example/archive:v1'}
  - dockerArchive: {path: saved.tar, reference: 'disk.example/saved:v1'}
";
        std::fs::write(site.path("disk.yaml"), text).unwrap();
        let mirror =
            ["mirror", "-f", "disk.yaml", "--store", "disk", "--lock", "disk.lock", "--output", "json"];
        let report: serde_json::Value = serde_json::from_str(&site.airlock(&mirror)).unwrap();
        assert_eq!(report["items"][0]["digest"], site.digest.as_str());
        assert_eq!(report["items"][1]["digest"], site.digest.as_str());
        let again: serde_json::Value = serde_json::from_str(&site.airlock(&mirror)).unwrap();
        assert_eq!(again["totals"]["fetchedBytes"], 0);
        site.airlock(&["store", "check", "--store", "disk"]);
        let saved = site.serve_store("disk", &["--read-only"]);
        let source = format!("docker://{}/disk.example/saved:v1", saved.address);
        let target = format!("dir:{}", site.path("again").display());
        run("skopeo", &["copy", "--quiet", "--src-tls-verify=false", &source, &target]);
    }
}
