//! Policies and robot accounts of the configuration file.

use std::path::Path;

use serde_json::Value;

use super::{ONE, Registry};
use crate::cli::fails;
use crate::signing::{site, works};

const UPLOAD: &str = "/v2/team/new/blobs/uploads/";
const ANN: Option<(&str, &str)> = Some(("ann", "one"));

fn write(path: &Path, access: &str) {
    let head = "apiVersion: airlock.dev/v1alpha1\nkind: RegistryConfig\nstore: store\n";
    let listeners = "listeners: [{address: '127.0.0.1:0'}]\n";
    std::fs::write(path.join("registry.yaml"), format!("{head}{listeners}access:\n{access}")).unwrap();
}

fn policies(group: &str) -> String {
    format!(
        "  htpasswd: users\n  robots: robots.json\n  groups: {{team: [{group}]}}\n  policies:\n\
         \x20   - {{repositories: ['disk.example/**'], to: [anonymous], allow: [pull]}}\n\
         \x20   - {{repositories: ['team/**'], to: ['group:team', 'robot:ci'], allow: [pull, push]}}\n"
    )
}

#[test]
fn policies_of_the_file_decide_and_change_while_the_registry_runs() {
    let folder = site();
    let path = folder.path();
    std::fs::write(path.join("users"), ONE).unwrap();
    let robot = ["robot", "create", "ci", "--file", "robots.json", "--output", "json"];
    let robot: Value = serde_json::from_str(&works(path, &robot)).unwrap();
    let robot = Some(("robot$ci", robot["secret"].as_str().unwrap()));
    write(path, &policies("ann"));
    let checked = works(path, &["serve", "--check", "-f", "registry.yaml"]);
    assert!(checked.contains("by policies"), "{checked}");
    let registry = Registry::start(path, &["-f", "registry.yaml"]);
    let pull = "/v2/disk.example/team/app/manifests/v1";
    // Without a user, a request needs a token; a push is refused in any case.
    assert_eq!(registry.status("POST", UPLOAD, None), 401);
    for (user, pushes) in [(ANN, 202), (robot, 202), (Some(("ann", "wrong")), 401)] {
        assert_eq!(registry.status("POST", UPLOAD, user), pushes, "{user:?}");
    }
    assert_eq!(registry.status("GET", pull, ANN), 200);
    assert_eq!(registry.status("POST", "/v2/other/blobs/uploads/", ANN), 403);
    assert_eq!(registry.status("DELETE", pull, ANN), 403);
    // Ann leaves the group, and the robot account is revoked.
    registry.says_after("reloaded the configuration; changed: access", || {
        write(path, &policies("bob"));
        works(path, &["robot", "revoke", "ci", "--file", "robots.json"]);
    });
    registry.until("both changes apply", || {
        registry.status("POST", UPLOAD, ANN) == 403 && registry.status("POST", UPLOAD, robot) == 401
    });
    assert_eq!(registry.status("GET", pull, ANN), 200);
    registry.stop();
}

#[test]
fn policies_that_cannot_be_used_are_refused() {
    let folder = site();
    let path = folder.path();
    std::fs::write(path.join("users"), ONE).unwrap();
    let refused = |access: &str, code, words: &str| {
        write(path, access);
        fails(path, &["serve", "--check", "-f", "registry.yaml"], code, words);
    };
    let policy = |to: &str| format!("  policies: [{{repositories: ['**'], to: [{to}], allow: [pull]}}]\n");
    refused(&(policy("anonymous") + "  anonymous: pull\n"), 2, "write a policy with `to: [anonymous]`");
    refused("  htpasswd: users\n  robots: robots.json\n", 2, "has no effect without `access.policies`");
    refused(&policy("'group:none'"), 2, "none");
    refused(&policy("'nobody'"), 2, "nobody");
    refused(&(policy("anonymous") + "  robots: none.json\n"), 4, "none.json");
    std::fs::write(path.join("robots.json"), "{}").unwrap();
    refused(&(policy("anonymous") + "  robots: robots.json\n"), 2, "robots.json");
    refused("  policies: [{repositories: ['**'], to: [anonymous], allow: [write]}]\n", 2, "line 6");
}
