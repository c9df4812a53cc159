//! The help of every command, and the output of commands that always print the same, compared with `tests/snapshots`.
//!
//! `AIRLOCK_UPDATE_SNAPSHOTS=1 cargo test --test it snapshots` rewrites that folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::cli::airlock;
use crate::manifests::program;

const UPDATE: &str = "AIRLOCK_UPDATE_SNAPSHOTS";
const REGISTRY: [&str; 4] = ["--registry", "https://registry.site:5000", "--ca-file", "registry-ca.crt"];
const CLIENTS: [&str; 9] =
    ["bottlerocket", "containerd", "containerd-v1", "crio", "eks-a", "k3s", "kind", "podman", "rke2"];

/// Texts by the names of their files.
type Texts = BTreeMap<String, String>;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Everything that a command prints, without the spaces at the ends of lines. The command must succeed.
fn output(folder: &Path, arguments: &[&str]) -> String {
    let output = airlock(folder, arguments);
    let (mut text, notes) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{arguments:?}: {notes}");
    if !notes.is_empty() {
        text += &format!("\n(standard error)\n{notes}");
    }
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The commands that the help of a group lists.
fn subcommands(help: &str) -> Vec<&str> {
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    // A line that begins with more spaces continues the one before; a line without spaces begins another section.
    let list = list.lines().take_while(|line| line.is_empty() || line.starts_with("  "));
    let names = list.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    names.filter_map(|line| line.split(' ').next()).filter(|name| !["", "help"].contains(name)).collect()
}

/// Adds the help of a command and of all commands below it.
fn add_help(folder: &Path, command: &[&str], texts: &mut Texts) {
    let help = output(folder, &[command, &["--help"]].concat());
    for name in subcommands(&help) {
        add_help(folder, &[command, &[name]].concat(), texts);
    }
    let name = [&["help"], command].concat().join("-");
    assert!(texts.insert(format!("{name}.txt"), help).is_none(), "two commands have the file name `{name}`");
}

/// Checks against the man pages, which are written from the declarations, that no command is missing.
fn assert_complete(folder: &Path, helps: &Texts) {
    output(folder, &["man", "--to", "man"]);
    let pages = fs::read_dir(folder.join("man")).unwrap().map(|page| page.unwrap().file_name());
    let pages = pages.map(|page| page.into_string().unwrap().replacen("airlock", "help", 1));
    let pages: BTreeSet<_> = pages.map(|page| page.replace(".1", ".txt")).collect();
    assert_eq!(helps.keys().cloned().collect::<BTreeSet<_>>(), pages);
    assert!(pages.len() > 70, "{}", pages.len());
}

/// Adds outputs that depend on the arguments only.
fn add_outputs(folder: &Path, texts: &mut Texts) {
    for (file, from) in [
        ("registry-ca.crt", "tests/data/registry-ca.crt"),
        ("release.pub", "bundle-signer/tests/data/keys/p256.pub"),
    ] {
        fs::copy(data(from), folder.join(file)).unwrap();
    }
    fs::write(folder.join("credentials"), "puller:secret\n").unwrap();
    fs::write(folder.join("program"), program()).unwrap();
    let mut add = |name: &str, arguments: &[&str]| {
        texts.insert(format!("output-{name}.txt"), output(folder, arguments));
    };
    add("schema", &["schema"]);
    add("schema-registry", &["schema", "registry"]);
    add("trust-schema", &["trust", "schema"]);
    add("generate-package", &["generate", "package", "hello-eks-anywhere", "--cluster", "mgmt"]);
    let mirrors = ["--mirror", "docker.io", "--mirror", "public.ecr.aws=aws", "--credentials", "credentials"];
    for client in CLIENTS {
        add(&format!("config-{client}"), &[&["config", client], &mirrors[..], &REGISTRY].concat());
    }
    add(
        "install-controller",
        &[
            &["install", "controller", "--dry-run", "--cluster", "mgmt", "--binary", "program"][..],
            &["--registry", "registry.site:5000", "--registry-ca", "registry-ca.crt"],
            &["--registry-credentials", "credentials", "--bundle-key", "release.pub"],
        ]
        .concat(),
    );
    // The digest of the image depends on the version.
    let digest = Regex::new("(airlock/airlock@sha256:)[0-9a-f]{64}").unwrap();
    let manifests = texts.get_mut("output-install-controller.txt").unwrap();
    assert!(digest.is_match(manifests));
    *manifests = digest.replace_all(manifests, "${1}DIGEST").into_owned();
}

/// The first line in which two texts differ.
fn difference(expected: &str, found: &str) -> String {
    let (mut expected, mut found) = (expected.lines(), found.lines());
    for number in 1.. {
        let (was, is) = (expected.next(), found.next());
        if was != is || is.is_none() {
            let show = |line: Option<&str>| line.unwrap_or("(end)").to_owned();
            return format!("line {number}\n  - {}\n  + {}", show(was), show(is));
        }
    }
    String::new()
}

#[test]
fn every_help_and_every_fixed_output_equals_its_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let mut texts = Texts::new();
    add_help(folder.path(), &[], &mut texts);
    assert_complete(folder.path(), &texts);
    add_outputs(folder.path(), &mut texts);

    let snapshots = data("tests/snapshots");
    let files = fs::read_dir(&snapshots).into_iter().flatten().map(|entry| entry.unwrap());
    let names = files.map(|entry| entry.file_name().into_string().unwrap());
    let mut known: Texts =
        names.map(|name| (name.clone(), fs::read_to_string(snapshots.join(name)).unwrap())).collect();
    if std::env::var_os(UPDATE).is_some() {
        fs::create_dir_all(&snapshots).unwrap();
        for name in known.keys().filter(|name| !texts.contains_key(*name)) {
            fs::remove_file(snapshots.join(name)).unwrap();
        }
        for (name, text) in &texts {
            fs::write(snapshots.join(name), text).unwrap();
        }
        return;
    }
    let mut problems = Vec::new();
    for (name, text) in &texts {
        match known.remove(name) {
            Some(snapshot) if snapshot == *text => {}
            Some(snapshot) => problems.push(format!("{name} differs in {}", difference(&snapshot, text))),
            None => problems.push(format!("{name} is missing")),
        }
    }
    problems.extend(known.into_keys().map(|name| format!("{name} belongs to no command")));
    assert!(
        problems.is_empty(),
        "{}\nIf this is intended, update the files with `{UPDATE}=1 cargo test --test it snapshots`.",
        problems.join("\n")
    );
}
