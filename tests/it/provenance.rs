//! Charts signed with GnuPG and with Helm, verified by `helm verify` and by airlock.

use std::path::Path;
use std::process::{Command, Output};

use crate::cli::{airlock, fails};
use crate::programs::{program, require};
use crate::signing::{mirror_file, works};

/// A folder with a GnuPG home; its agent is stopped on drop.
struct Gpg<'a>(&'a Path);

impl Gpg<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        let home = self.0.join("gnupg");
        std::fs::create_dir_all(&home).unwrap();
        std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let fixed = ["--batch", "--yes", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""];
        let mut gpg = Command::new(program("gpg"));
        let output = gpg.arg("--homedir").arg(&home).args(fixed).args(arguments).current_dir(self.0).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Generates a key, and writes a keyring with its public key.
    fn key(&self, user: &str, kind: &str) {
        self.run(&["--quick-gen-key", user, kind, "sign", "never"]);
        self.run(&["--output", &format!("{user}.gpg"), "--export", user]);
    }

    /// Signs a chart as `helm package --sign` does.
    fn sign(&self, user: &str, chart: &str, files: &str) {
        let text = format!("apiVersion: v2\nname: hello\nversion: 0.1.0\n\n...\nfiles:\n{files}");
        std::fs::write(self.0.join("text"), text).unwrap();
        self.run(&["--local-user", user, "--output", &format!("{chart}.prov"), "--clearsign", "text"]);
    }
}

impl Drop for Gpg<'_> {
    fn drop(&mut self) {
        let home = self.0.join("gnupg");
        let _ = Command::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "gpg-agent"]).status();
    }
}

const CHART: &str = "hello-0.1.0.tgz";

/// Writes a packaged chart; returns the line with its digest for a provenance file.
fn with_chart(folder: &Path) -> String {
    let file = std::fs::File::create(folder.join(CHART)).unwrap();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
    let pod = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hello}\n";
    let metadata = "apiVersion: v2\nname: hello\nversion: 0.1.0\n";
    for (name, text) in [("hello/Chart.yaml", metadata), ("hello/templates/map.yaml", pod)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
    let digest = oci::Digest::sha256(&std::fs::read(folder.join(CHART)).unwrap());
    format!("  {CHART}: {digest}\n")
}

fn configured(folder: &Path, more: &str) {
    let sources = format!("  - charts: [{{file: {CHART}, images: false{more}}}]\n");
    std::fs::write(folder.join("airlock.yaml"), mirror_file("", &sources)).unwrap();
}

#[test]
fn d17_a_chart_is_used_and_mirrored_only_if_a_key_of_the_keyring_signed_it() {
    if !require(&["gpg"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (gpg, line) = (Gpg(path), with_chart(path));
    gpg.key("anna@example.org", "rsa2048");
    gpg.key("berta@example.org", "ed25519");
    let verify = |keyring: &'static str| ["chart", "verify", CHART, "--keyring", keyring];
    fails(path, &verify("anna@example.org.gpg"), 3, "has no provenance file");
    configured(path, ", keyring: anna@example.org.gpg");
    fails(path, &["mirror", "--store", "store"], 3, "has no provenance file");
    gpg.sign("anna@example.org", CHART, &line);
    let said = works(path, &verify("anna@example.org.gpg"));
    assert!(
        said.contains("signed by anna@example.org") && said.contains("chart hash verified: sha256:"),
        "{said}"
    );
    fails(path, &verify("berta@example.org.gpg"), 3, "is not in the keyring");
    works(path, &["mirror", "--store", "store"]);
    works(path, &["mirror", "--store", "store"]);
    let stored = "charts/hello:0.1.0";
    works(path, &["chart", "verify", stored, "--store", "store", "--keyring", "anna@example.org.gpg"]);
    // A chart that is already mirrored is verified again when the keyring changes.
    configured(path, ", keyring: berta@example.org.gpg");
    fails(path, &["mirror", "--store", "store"], 3, "is not in the keyring");
    // With the wrong keyring, nothing is published.
    fails(path, &["mirror", "--store", "other"], 3, "is not in the keyring");
    assert_eq!(works(path, &["store", "list", "--store", "other"]), "");
    let template = ["chart", "template", CHART, "--verify", "--keyring"];
    works(path, &[&template[..], &["anna@example.org.gpg"]].concat());
    fails(path, &[&template[..], &["berta@example.org.gpg"]].concat(), 3, "is not in the keyring");
    fails(path, &["chart", "template", CHART, "--verify"], 2, "--keyring");
    gpg.sign("berta@example.org", CHART, &line.replace("hello-0.1.0", "other-0.1.0"));
    fails(path, &verify("berta@example.org.gpg"), 3, "is for `other-0.1.0.tgz`");
    gpg.sign("berta@example.org", CHART, &line.repeat(2));
    fails(path, &verify("berta@example.org.gpg"), 3, "it lists a file twice");
    gpg.sign("berta@example.org", CHART, "");
    fails(path, &verify("berta@example.org.gpg"), 3, "it has no list of files");
    gpg.sign("berta@example.org", CHART, &line);
    works(path, &verify("berta@example.org.gpg"));
    let mut bytes = std::fs::read(path.join(CHART)).unwrap();
    // The timestamp in the header of the archive.
    bytes[4] ^= 1;
    std::fs::write(path.join(CHART), bytes).unwrap();
    fails(path, &verify("berta@example.org.gpg"), 3, "its provenance has");
}

/// Runs Helm; returns whether it succeeded, and its error output.
fn helm(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let mut helm = Command::new(program("helm"));
    let output = helm.args(arguments).current_dir(folder).env("HOME", folder).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn d17_helm_and_airlock_agree_about_signatures_of_helm_and_gnupg() {
    if !require(&["gpg", "helm"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let gpg = Gpg(path);
    gpg.key("anna@example.org", "rsa2048");
    gpg.key("berta@example.org", "ed25519");
    gpg.run(&["--output", "secret.gpg", "--export-secret-keys", "anna@example.org"]);
    let line = with_chart(path);
    std::fs::write(path.join("none"), "\n").unwrap();
    assert!(Command::new("tar").args(["-xzf", CHART]).current_dir(path).status().unwrap().success());
    let sign = ["package", "hello", "--sign", "--key", "anna@example.org", "--keyring", "secret.gpg"];
    let (done, said) = helm(path, &[&sign[..], &["--passphrase-file", "none"]].concat());
    assert!(done, "{said}");
    let both = |keyring: &str, expected: bool| {
        let (by_helm, said) = helm(path, &["verify", CHART, "--keyring", keyring]);
        let ours = airlock(path, &["chart", "verify", CHART, "--keyring", keyring]);
        let ours_said = String::from_utf8_lossy(&ours.stderr).into_owned();
        assert_eq!((by_helm, ours.status.success()), (expected, expected), "{keyring}: {said} {ours_said}");
    };
    both("anna@example.org.gpg", true);
    both("berta@example.org.gpg", false);
    let provenance = std::fs::read_to_string(path.join(format!("{CHART}.prov"))).unwrap();
    std::fs::write(path.join(format!("{CHART}.prov")), provenance.replacen("0.1.0", "0.1.1", 1)).unwrap();
    both("anna@example.org.gpg", false);
    with_chart(path);
    for user in ["anna@example.org", "berta@example.org"] {
        gpg.sign(user, CHART, &line);
        both(&format!("{user}.gpg"), true);
    }
    gpg.sign("anna@example.org", CHART, &line.replace("hello", "other"));
    both("anna@example.org.gpg", false);
    gpg.sign("anna@example.org", CHART, &line);
    std::fs::write(path.join(CHART), "changed").unwrap();
    both("anna@example.org.gpg", false);
}
