//! Files for nodes, compared with those of EKS Anywhere and with each client's documentation.

use std::path::PathBuf;

use clap::Parser as _;
use serde_json::json;

use super::site::Site;
use super::{Client, Config, NodeFile, containerd, files, toml};
use crate::cli::{Cli, Command, Format};
use crate::printer::Printer;

const REGISTRY: &str = "https://registry-mirror.test:443";

fn settings(arguments: &[&str]) -> Config {
    let all = [&["airlock", "config"], arguments].concat();
    let Command::Config(settings) = Cli::try_parse_from(all).unwrap().command else { panic!("not config") };
    settings
}

fn site(arguments: &[&str]) -> Site {
    Site::read(
        &settings(&[&["containerd", "--registry", REGISTRY], arguments].concat()),
        &Printer::of_errors(Format::Text),
    )
    .unwrap()
}

fn temporary(name: &str, content: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

const CA: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

#[test]
fn hosts_files_are_those_of_eks_anywhere_byte_by_byte() {
    let (_folder, ca) = temporary("ca.crt", CA);
    let (_other, credentials) = temporary("credentials", "username:password\n");
    let (ca, credentials) = (ca.display().to_string(), credentials.display().to_string());
    let packages = "783794618700.dkr.ecr.us-west-2.amazonaws.com";
    let curated = format!("{packages}=curated-packages");
    let anywhere = "public.ecr.aws=eks-anywhere";
    let insecure = &["--fallback", "--insecure-skip-verify", "--mirror", anywhere][..];
    let auth = [insecure, &["--mirror", &curated, "--credentials", &credentials]].concat();
    let with_ca = &["--fallback", "--mirror", "public.ecr.aws=", "--ca-file", &ca][..];
    let own = "registry-mirror.test:443";
    let mut compared = 0;
    for (arguments, host, expected) in [
        (
            insecure,
            "public.ecr.aws",
            include_str!("../../../tests/data/hosts/hosts_toml_insecure_public_ecr_aws.toml"),
        ),
        (insecure, own, include_str!("../../../tests/data/hosts/hosts_toml_insecure_registry_mirror.toml")),
        (
            &auth,
            packages,
            include_str!("../../../tests/data/hosts/hosts_toml_with_auth_783794618700_dkr_ecr.toml"),
        ),
        (
            &auth,
            "public.ecr.aws",
            include_str!("../../../tests/data/hosts/hosts_toml_with_auth_public_ecr_aws.toml"),
        ),
        (&auth, own, include_str!("../../../tests/data/hosts/hosts_toml_with_auth_registry_mirror.toml")),
        (
            with_ca,
            "public.ecr.aws",
            include_str!("../../../tests/data/hosts/hosts_toml_with_ca_public_ecr_aws.toml"),
        ),
        (with_ca, own, include_str!("../../../tests/data/hosts/hosts_toml_with_ca_registry_mirror.toml")),
    ] {
        let files = files(Client::ContainerdV1, &site(arguments)).unwrap();
        let path = format!("/etc/containerd/certs.d/{host}/hosts.toml");
        let file = files.iter().find(|file| file.path == path).unwrap();
        assert_eq!(file.content, expected, "{path}");
        assert_eq!(file.secret, arguments.contains(&"--credentials"), "{path}");
        compared += 1;
    }
    assert_eq!(compared, 7);
}

#[test]
fn without_fallback_no_file_names_a_registry_on_the_internet() {
    let site =
        site(&["--mirror", "public.ecr.aws", "--mirror", "docker.io", "--mirror", "quay.io=site/quay"]);
    let text = containerd::hosts(&site, &"docker.io".parse().unwrap(), Some(&"docker.io".parse().unwrap()));
    let expected = "server = \"https://registry-mirror.test:443/v2/docker.io\"\n\
        capabilities = [\"pull\", \"resolve\"]\noverride_path = true\n";
    assert_eq!(text, expected);
    for client in [Client::Containerd, Client::ContainerdV1, Client::Kind] {
        for file in files(client, &site).unwrap() {
            for url in file.content.split("https://").skip(1) {
                assert!(url.starts_with("registry-mirror.test:443"), "{}: {url}", file.path);
            }
        }
    }
    let podman = &files(Client::Podman, &site).unwrap()[0].content;
    assert!(podman.contains("prefix = \"quay.io\"\nlocation = \"registry-mirror.test:443/site/quay\"\n"));
    assert!(!podman.contains("location = \"quay.io\""));
    let k3s = files(Client::K3s, &site).unwrap();
    let off = k3s.iter().find(|file| file.path.ends_with("50-airlock.yaml")).unwrap();
    assert_eq!(off.content, "disable-default-registry-endpoint: true\n");
}

#[test]
fn o35_a_closed_world_redirects_every_other_registry() {
    let site = site(&["--mirror", "quay.io", "--closed-world"]);
    for (client, path) in [
        (Client::Containerd, "/etc/containerd/certs.d/_default/hosts.toml"),
        (Client::ContainerdV1, "/etc/containerd/certs.d/_default/hosts.toml"),
        (Client::Kind, "certs.d/_default/hosts.toml"),
    ] {
        let files = files(client, &site).unwrap();
        let file = files.iter().find(|file| file.path == path).unwrap();
        let expected = "server = \"https://registry-mirror.test:443/v2\"\n\
            capabilities = [\"pull\", \"resolve\"]\noverride_path = true\n";
        assert_eq!(file.content, expected, "{path}");
    }
    let k3s = read(&files(Client::K3s, &site).unwrap()[0]);
    assert_eq!(k3s["mirrors"]["*"], json!({"endpoint": [REGISTRY]}));
    let text = &files(Client::Bottlerocket, &site).unwrap()[0].content;
    assert!(text.contains("registry = \"*\"\nendpoint = [\"https://registry-mirror.test:443\"]\n"), "{text}");
    for client in [Client::Podman, Client::Crio, Client::EksA] {
        let error = files(client, &site).unwrap_err().to_string();
        assert!(error.contains("no rule for all registries"), "{error}");
    }
}

#[test]
fn the_two_major_versions_of_containerd_have_their_own_plugin_ids() {
    let site = site(&["--mirror", "public.ecr.aws"]);
    let text = |client| files(client, &site).unwrap()[0].content.clone();
    assert!(
        text(Client::Containerd)
            .starts_with("version = 3\n\n[plugins.\"io.containerd.cri.v1.images\".registry]")
    );
    assert!(
        text(Client::ContainerdV1)
            .starts_with("version = 2\n\n[plugins.\"io.containerd.grpc.v1.cri\".registry]")
    );
}

fn read(file: &NodeFile) -> serde_json::Value {
    gostd::yaml::parse(&file.content, &gostd::Limits::default()).unwrap()
}

#[test]
fn rancher_rewrites_names_and_lists_the_registry_under_its_own() {
    let (_folder, ca) = temporary("ca.crt", CA);
    let (_other, credentials) = temporary("credentials", "user:a: #b\n");
    let (ca, credentials) = (ca.display().to_string(), credentials.display().to_string());
    let site = site(&[
        "--mirror",
        "public.ecr.aws",
        "--mirror",
        "quay.io=",
        "--ca-file",
        &ca,
        "--credentials",
        &credentials,
    ]);
    let files = files(Client::Rke2, &site).unwrap();
    assert_eq!(files[0].path, "/etc/rancher/rke2/registries.yaml");
    assert!(files[0].secret && !files[1].secret);
    assert_eq!(
        read(&files[0]),
        json!({
            "mirrors": {
                "public.ecr.aws": {"endpoint": [REGISTRY], "rewrite": {"^(.*)$": "public.ecr.aws/$1"}},
                "quay.io": {"endpoint": [REGISTRY]},
                "registry-mirror.test:443": {"endpoint": [REGISTRY]},
            },
            "configs": {"registry-mirror.test:443": {
                "auth": {"username": "user", "password": "a: #b"},
                "tls": {"ca_file": "/etc/rancher/rke2/airlock-ca.crt"},
            }},
        })
    );
    assert_eq!((files[1].path.as_str(), files[1].content.as_str()), ("/etc/rancher/rke2/airlock-ca.crt", CA));
}

#[test]
fn the_mirror_configuration_passes_eks_anywheres_own_validation() {
    let (_folder, ca) = temporary("ca.crt", CA);
    let ca = ca.display().to_string();
    let good = site(&["--mirror", "public.ecr.aws=eks", "--mirror", "docker.io=", "--ca-file", &ca]);
    assert_eq!(
        read(&files(Client::EksA, &good).unwrap()[0]),
        json!({"spec": {"registryMirrorConfiguration": {
            "endpoint": "registry-mirror.test", "port": "443", "caCertContent": CA,
            "ociNamespaces": [
                {"registry": "docker.io", "namespace": ""}, {"registry": "public.ecr.aws", "namespace": "eks"},
            ],
        }}})
    );
    let account = |region: &str| format!("783794618700.dkr.ecr.{region}.amazonaws.com");
    for (arguments, word) in [
        (vec!["--mirror", "docker.io"], "public.ecr.aws"),
        (
            vec![
                "--mirror",
                "public.ecr.aws",
                "--mirror",
                &account("us-west-2"),
                "--mirror",
                &account("eu-west-1"),
            ],
            "curated packages",
        ),
    ] {
        let error = files(Client::EksA, &site(&arguments)).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn bottlerocket_and_crio_get_ca_and_credentials() {
    let (_folder, ca) = temporary("ca.crt", CA);
    let (_other, credentials) = temporary("credentials", "user:\"pass\\word\n");
    let (ca, credentials) = (ca.display().to_string(), credentials.display().to_string());
    let site = site(&[
        "--mirror",
        "public.ecr.aws",
        "--mirror",
        "quay.io=q",
        "--ca-file",
        &ca,
        "--credentials",
        &credentials,
    ]);
    let text = &files(Client::Bottlerocket, &site).unwrap()[0].content;
    for part in [
        "registry = \"public.ecr.aws\"\nendpoint = [\"https://registry-mirror.test:443\"]\n",
        "registry = \"quay.io\"\nendpoint = [\"https://registry-mirror.test:443/v2/q\"]\n",
        "username = \"user\"\npassword = \"\\\"pass\\\\word\"\n",
        "[settings.pki.airlock]\ndata = \"LS0t",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let crio = files(Client::Crio, &site).unwrap();
    let named: Vec<_> = crio.iter().map(|file| (file.path.as_str(), file.secret)).collect();
    let expected = [
        ("/etc/containers/registries.conf.d/50-airlock.conf", false),
        ("/etc/containers/certs.d/registry-mirror.test:443/ca.crt", false),
        ("/etc/crio/crio.conf.d/50-airlock.conf", false),
        ("/etc/crio/airlock-auth.json", true),
    ];
    assert_eq!(named, expected);
}

#[test]
fn user_text_cannot_escape_its_string() {
    assert_eq!(toml("a\"\\\n\u{1}b"), "\"a\\\"\\\\\\u000a\\u0001b\"");
}
