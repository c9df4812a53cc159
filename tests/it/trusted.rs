//! Trust files that airlock writes: each key has roles, and is accepted for nothing else.

use std::path::Path;

use crate::cli::{airlock, fails};
use crate::signing::{IMAGE, refuses, site, without_roles, works};

/// A package bundle signed by the site's key.
fn bundle(path: &Path) {
    let text = format!(
        "apiVersion: packages.eks.amazonaws.com/v1alpha1\nkind: PackageBundle\nmetadata:\n  name: v1-31-1\n  \
         namespace: eksa-packages\nspec:\n  packages:\n  - name: app\n    source:\n      registry: registry.example\n      \
         repository: team/app\n      versions:\n      - name: 0.1.0\n        digest: sha256:{}\n",
        "a".repeat(64)
    );
    std::fs::write(path.join("bundle.yaml"), text).unwrap();
    works(path, &["sign", "bundle", "bundle.yaml", "--key", "release.key", "--to", "signed.yaml"]);
}

#[test]
fn a3_a_new_trust_file_gives_each_key_roles_for_images_and_drives_and_nothing_else() {
    let folder = site();
    let path = folder.path();
    bundle(path);
    let said = works(path, &["keys", "trust", "release.pub", "--to", "new.yaml"]);
    assert!(said.contains("accepts 1 key for: signature, driveManifest"), "{said}");
    let text = std::fs::read_to_string(path.join("new.yaml")).unwrap();
    assert!(text.contains("roles: [{\"sign\":[\"signature\",\"driveManifest\"]}]"), "{text}");
    assert!(!text.contains("keysWithoutRoles"), "{text}");
    let manifest = ["verify-manifest", "signed.yaml", "--trust"];
    fails(path, &[&manifest[..], &["new.yaml"]].concat(), 3, "may not sign this: packageBundle");
    works(path, &["sign", IMAGE, "--store", "store", "--key", "release.key"]);
    works(path, &["verify-image", IMAGE, "--store", "store", "--trust", "new.yaml"]);
    let of_kind = ["verify-image", IMAGE, "--store", "store", "--trust", "new.yaml", "--type", "spdxjson"];
    std::fs::write(path.join("sbom.json"), r#"{"spdxVersion":"SPDX-2.3"}"#).unwrap();
    let attest = ["attest", IMAGE, "--store", "store", "--key", "release.key", "--predicate", "sbom.json"];
    works(path, &[&attest[..], &["--type", "spdxjson"]].concat());
    refuses(path, &of_kind, "may not sign this: spdx");
    works(path, &["pack", "--store", "store", "--to", "drive", "--key", "release.key"]);
    works(path, &["verify", "drive", "--trust", "new.yaml"]);

    // The same applies to a key that is added later, even if keys without roles may sign anything in that file.
    works(path, &["keys", "trust", "other.pub", "--to", "added.yaml"]);
    works(path, &["keys", "add", "release.pub", "--trust", "added.yaml"]);
    fails(path, &[&manifest[..], &["added.yaml"]].concat(), 3, "may not sign this: packageBundle");
    let old = without_roles(path, "other.yaml").replace("keys:", "keysWithoutRoles: anything\nkeys:");
    std::fs::write(path.join("old.yaml"), old).unwrap();
    works(path, &["keys", "add", "release.pub", "--trust", "old.yaml"]);
    fails(path, &[&manifest[..], &["old.yaml"]].concat(), 3, "may not sign this: packageBundle");
    let named = ["keys", "trust", "release.pub", "--sign", "packageBundle", "--to", "named.yaml"];
    works(path, &named);
    works(path, &[&manifest[..], &["named.yaml"]].concat());
}

#[test]
fn a3_an_old_file_with_anything_is_read_with_a_warning_that_names_the_line_and_the_fix() {
    let folder = site();
    let path = folder.path();
    bundle(path);
    let bare = without_roles(path, "release.yaml");
    let old = bare.replace("kind: Trust\n", "kind: Trust\nsequence: 2\nkeysWithoutRoles: anything\n");
    std::fs::write(path.join("old.yaml"), &old).unwrap();
    let warning = "line 4: `keysWithoutRoles: anything`: give `release` roles, such as";
    works(path, &["sign", IMAGE, "--store", "store", "--key", "release.key"]);
    works(path, &["pack", "--store", "store", "--to", "drive", "--key", "release.key"]);
    for command in [
        &["verify-manifest", "signed.yaml"][..],
        &["verify-image", IMAGE, "--store", "store"],
        &["verify", "drive"],
        &["import", "drive", "--store", "far"],
        &["pack", "--store", "store", "--to", "drive", "--key", "release.key", "--dry-run"],
        &["keys", "revoke", "release", "--reason", "lost", "--to", "next.yaml"],
    ] {
        let output = airlock(path, &[command, &["--trust", "old.yaml"]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains(warning), "{command:?}: {said}");
        assert!(said.contains("roles: [{sign: [signature, driveManifest]}]"), "{said}");
    }
    assert!(works(path, &["trust", "check", "old.yaml"]).contains(warning));
    // If every key has roles, the line has no effect and should be removed.
    let roles = format!("{old}    roles: [{{sign: [signature]}}]\n");
    std::fs::write(path.join("roles.yaml"), roles).unwrap();
    assert!(works(path, &["trust", "check", "roles.yaml"]).contains("remove the line: every key has roles"));
    // Without the line, keys without roles cannot sign bundles, and there is no warning.
    std::fs::write(path.join("bare.yaml"), bare).unwrap();
    let output = airlock(path, &["verify-manifest", "signed.yaml", "--trust", "bare.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && !said.contains("keysWithoutRoles"), "{said}");
}

#[test]
fn a3_changes_of_one_trust_file_at_once_are_all_kept() {
    let folder = site();
    let path = folder.path();
    works(path, &["keys", "trust", "release.pub", "--to", "trust.yaml"]);
    for number in 0..5 {
        works(path, &["keys", "generate", &format!("k{number}")]);
    }
    std::thread::scope(|scope| {
        for number in 0..5 {
            let key = format!("k{number}.pub");
            scope.spawn(move || works(path, &["keys", "add", &key, "--trust", "trust.yaml"]));
        }
        scope.spawn(|| {
            let revoke = ["keys", "revoke", "release", "--reason", "stolen", "--trust", "trust.yaml"];
            works(path, &revoke);
        });
    });
    let said = works(path, &["trust", "check", "trust.yaml"]);
    for number in 0..5 {
        assert!(said.contains(&format!("`k{number}`")), "{said}");
    }
    assert!(said.contains("stolen") && said.contains("gate pull: not configured"), "{said}");
    assert!(path.join("trust.yaml.5").exists());
}

#[test]
fn a12_the_store_on_the_command_line_takes_precedence_over_the_log_in_the_environment() {
    let folder = site();
    let path = folder.path();
    works(path, &["sign", IMAGE, "--store", "store", "--key", "release.key", "--audit-log", "log"]);
    let verify = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_airlock"))
            .args(["audit", "verify"])
            .args(arguments)
            .env("AIRLOCK_AUDIT_LOG", "missing")
            .current_dir(path)
            .output()
            .unwrap();
        output.status.code()
    };
    assert_eq!(verify(&["--store", "store"]), Some(0));
    assert_eq!(verify(&["--audit-log", "log", "--store", "store"]), Some(0));
    assert_eq!(verify(&[]), Some(4));
}
