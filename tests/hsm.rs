//! Keys in a token, tested with `SoftHSM`, the built binary and real cosign. A PKCS#11 module is loaded at run time, which
//! requires a build that links the C library dynamically. `scripts/test` makes such a build for these tests only.

#[cfg(test)]
#[expect(dead_code, reason = "other suites use the rest")]
#[path = "peers/programs.rs"]
mod programs;

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output};

    use crate::programs::{found, missing};

    const AIRLOCK: &str = env!("CARGO_BIN_EXE_airlock");
    const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bundle-signer/tests/data/keys");
    const KIND: &str = "application/vnd.oci.image.manifest.v1+json";
    const IMAGE: &str = "disk.example/team/app:v1";
    const MODULES: [&str; 2] = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"];

    /// Reports whether this build can use tokens. A build that cannot is not an error: `scripts/test` makes one that can.
    fn ready() -> bool {
        if cfg!(any(not(feature = "hsm"), target_feature = "crt-static")) {
            println!("skipped: this build cannot load PKCS#11 modules; scripts/test makes one that can");
            return false;
        }
        let found = MODULES.iter().any(|module| Path::new(module).exists());
        if !found || Command::new("softhsm2-util").arg("--version").output().is_err() {
            missing("SoftHSM");
            return false;
        }
        true
    }

    fn text(output: &Output) -> String {
        (String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr)).into_owned()
    }

    /// A folder with a token that holds one key.
    struct Site(tempfile::TempDir);

    impl Site {
        fn new() -> Self {
            let site = Self(tempfile::tempdir().unwrap());
            std::fs::create_dir(site.path("tokens")).unwrap();
            let config = format!(
                "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
                site.path("tokens").display()
            );
            std::fs::write(site.path("softhsm2.conf"), config).unwrap();
            std::fs::write(site.path("pin"), "271828\n").unwrap();
            site.token("site token");
            site.put("site token", &format!("{KEYS}/pkcs8.pem"), "release", "01");
            site
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn command(&self, program: &str) -> Command {
            let mut command = Command::new(program);
            command.current_dir(self.0.path()).env_clear().env("HOME", self.0.path());
            command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
            command.env("SOFTHSM2_CONF", self.path("softhsm2.conf"));
            command
        }

        fn util(&self, arguments: &[&str]) {
            let output = self.command("softhsm2-util").args(arguments).output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        }

        fn token(&self, label: &str) {
            let pins = ["--pin", "271828", "--so-pin", "314159"];
            self.util(&[&["--init-token", "--free", "--label", label], &pins[..]].concat());
        }

        fn put(&self, token: &str, key: &str, label: &str, id: &str) {
            let what = ["--import", key, "--token", token, "--label", label, "--id", id];
            self.util(&[&what[..], &["--pin", "271828"]].concat());
        }

        /// A URI with the module and additional query attributes.
        fn uri(path: &str, query: &str) -> String {
            let module = MODULES.into_iter().find(|module| Path::new(module).exists()).unwrap();
            format!("pkcs11:{path}?module-path={module}{query}")
        }

        fn key(&self) -> String {
            let pin = self.path("pin").display().to_string();
            Self::uri("token=site%20token;object=release;type=private", &format!("&pin-source=file:{pin}"))
        }

        fn works(&self, arguments: &[&str]) -> String {
            let output = self.command(AIRLOCK).args(arguments).output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {}", text(&output));
            String::from_utf8_lossy(&output.stdout).into_owned()
        }

        fn fails(&self, arguments: &[&str], code: i32, words: &str) {
            let output = self.command(AIRLOCK).args(arguments).output().unwrap();
            let said = text(&output);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
            assert!(said.contains(words) && !said.contains("271828"), "{arguments:?}: {said}");
        }

        /// A store with an image.
        fn store(&self) {
            let blobs = self.path("layout/blobs/sha256");
            std::fs::create_dir_all(&blobs).unwrap();
            let put = |text: &str| {
                let digest = oci::Digest::sha256(text.as_bytes());
                std::fs::write(blobs.join(digest.hex()), text).unwrap();
                (digest, text.len())
            };
            let (config, size) = put(
                r#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#,
            );
            let (image, len) = put(&format!(
                r#"{{"schemaVersion":2,"mediaType":"{KIND}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":{size}}},"layers":[]}}"#
            ));
            let index = format!(
                r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{KIND}","digest":"{image}","size":{len}}}]}}"#
            );
            std::fs::write(self.path("layout/index.json"), index).unwrap();
            let mirror = format!(
                "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: a}}\nsources:\n  - ociLayout: {{path: layout, reference: '{IMAGE}'}}\n"
            );
            std::fs::write(self.path("airlock.yaml"), mirror).unwrap();
            self.works(&["mirror", "--store", "store"]);
        }
    }

    #[test]
    fn a_key_in_a_token_signs_images_and_drives() {
        if !ready() {
            return;
        }
        let site = Site::new();
        let key = site.key();
        let public = site.works(&["keys", "show", &key, "--pem"]);
        assert_eq!(public, std::fs::read_to_string(format!("{KEYS}/p256.pub")).unwrap());
        std::fs::write(site.path("token.pub"), public).unwrap();
        site.works(&["keys", "trust", "token.pub"]);
        site.store();
        site.works(&["sign", IMAGE, "--store", "store", "--key", &key]);
        site.works(&["verify-image", IMAGE, "--store", "store", "--trust", "trust.yaml"]);
        site.works(&["pack", "--store", "store", "--to", "drive", "--key", &key]);
        site.works(&["verify", "drive", "--trust", "trust.yaml"]);
        cosign(&site);
    }

    /// cosign verifies the drive's signature with the token's public key.
    fn cosign(site: &Site) {
        let Some(program) = found("bin/cosign3") else { return };
        let files = ["airlock-manifest.json", "airlock-manifest.json.sigstore.json"];
        let volume = std::fs::read_dir(site.path("drive")).unwrap().map(|entry| entry.unwrap().path());
        let volume = volume.into_iter().find(|path| path.extension() == Some("tar".as_ref())).unwrap();
        assert!(site.command("tar").arg("-xf").arg(volume).args(files).status().unwrap().success());
        let verify = ["verify-blob", "--key", "token.pub", "--insecure-ignore-tlog", "--bundle", files[1]];
        let output = site.command(program.to_str().unwrap()).args(verify).arg(files[0]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }

    #[test]
    fn the_pin_is_read_from_the_given_source_and_is_tried_once() {
        if !ready() {
            return;
        }
        let site = Site::new();
        let key = Site::uri("token=site%20token;object=release", "");
        let show = ["keys", "show", key.as_str(), "--pem"];
        site.works(&[&show[..], &["--password-file", "pin"]].concat());
        let script = format!("$A keys show '{key}' --pem --password-fd 5 5<pin");
        let shell = |variable: &str, value: &str, script: &str| {
            let mut shell = site.command("sh");
            shell.args(["-c", script]).env("A", AIRLOCK).env(variable, value).output().unwrap()
        };
        assert!(shell("X", "", &script).status.success());
        let script = format!("$A keys show '{key}' --pem </dev/null");
        assert!(shell("AIRLOCK_KEY_PASSWORD", "271828", &script).status.success());
        // cosign's variable applies only to key files.
        let refused = shell("COSIGN_PASSWORD", "271828", &script);
        assert!(text(&refused).contains("the token needs a PIN"), "{}", text(&refused));
        std::fs::write(site.path("wrong"), "000000\n").unwrap();
        site.fails(&[&show[..], &["--password-file", "wrong"]].concat(), 2, "the token rejected the PIN");
        // Flags take precedence over the URI.
        site.fails(&["keys", "show", &site.key(), "--password-file", "wrong"], 2, "rejected the PIN");
        site.fails(&["keys", "show", &format!("{}&pin-value=271828", site.key())], 2, "process list");
    }

    #[test]
    fn a_uri_must_match_exactly_one_key_in_one_token() {
        if !ready() {
            return;
        }
        let site = Site::new();
        site.token("other");
        let second = site.path("second.pem");
        let second = second.to_str().unwrap();
        let make = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", second];
        assert!(site.command("openssl").args(make).status().unwrap().success());
        site.put("site token", second, "release", "02");
        site.put("site token", &format!("{KEYS}/p384.pem"), "curve", "03");
        let show = |path: &str, code: i32, words: &str| {
            let key = Site::uri(path, "");
            site.fails(&["keys", "show", &key, "--password-file", "pin"], code, words);
        };
        show("object=release", 2, "2 tokens match");
        show("token=none;object=release", 2, "0 tokens match");
        show("token=other;object=release", 2, "0 private keys");
        show("token=site%20token;object=release", 2, "2 private keys");
        show("token=site%20token;object=curve", 2, "not an ECDSA P-256 key");
        let both = |id: &str| {
            let key = Site::uri(&format!("token=site%20token;object=release;id=%{id}"), "");
            site.works(&["keys", "show", &key, "--pem", "--password-file", "pin"])
        };
        assert_ne!(both("01"), both("02"));
        let broken = "pkcs11:object=a?module-path=/dev/null";
        site.fails(&["keys", "show", broken, "--password-file", "pin"], 1, "load the PKCS#11 module");
        site.fails(
            &["keys", "show", "pkcs11:object=a", "--password-file", "pin"],
            2,
            "AIRLOCK_PKCS11_MODULE",
        );
    }

    #[test]
    fn a_key_in_a_token_replaces_a_key_in_a_file() {
        if !ready() {
            return;
        }
        let site = Site::new();
        std::fs::write(site.path("password"), "secret\n").unwrap();
        site.works(&["keys", "generate", "file", "--password-file", "password"]);
        site.works(&["keys", "trust", "file.pub"]);
        std::fs::write(site.path("token.pub"), site.works(&["keys", "show", &site.key(), "--pem"])).unwrap();
        let rotate = ["keys", "rotate", "token", "--public-key", "token.pub", "--trust", "trust.yaml"];
        site.works(&rotate);
        assert!(!site.path("token.key").exists());
        site.store();
        site.works(&["sign", IMAGE, "--store", "store", "--key", &site.key()]);
        site.works(&["verify-image", IMAGE, "--store", "store", "--trust", "trust.yaml"]);
    }
}
