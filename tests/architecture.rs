//! Which crate may use which: every edge that exists must be in this table, and every crate must have a row.

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::process::Command;

    /// A member, the members it may use, and third-party crates that it must not.
    const EDGES: &[(&str, &[&str], &[&str])] = &[
        ("oci", &[], &["tokio", "reqwest", "rusqlite"]),
        ("private", &[], &["tokio", "reqwest", "rusqlite", "ring"]),
        ("store", &["oci", "private"], &["tokio", "reqwest", "axum"]),
        ("gostd", &[], &["tokio", "reqwest", "rusqlite", "ring"]),
        ("schema-bounds", &["gostd"], &["tokio", "reqwest", "rusqlite", "ring"]),
        ("helm", &["gostd", "schema-bounds"], &["tokio", "reqwest", "rusqlite"]),
        ("chart-images", &["oci", "gostd", "helm"], &["tokio", "reqwest", "rusqlite", "ring"]),
        ("tlog", &["private"], &["tokio", "reqwest", "rusqlite"]),
        ("audit", &["private", "tlog"], &["tokio", "reqwest", "clap", "anyhow", "ring"]),
        ("bundle-signer", &["oci", "gostd", "tlog"], &["tokio", "reqwest", "rusqlite"]),
        ("package-api", &[], &["tokio", "reqwest", "rusqlite"]),
        ("brief", &[], &["tokio", "reqwest", "rusqlite", "ring"]),
        ("workload-images", &["oci"], &["tokio", "reqwest", "rusqlite", "ring", "kube"]),
        ("telemetry", &["registry"], &["clap", "reqwest", "rusqlite", "kube"]),
        // Evidence is collected and judged in one place, for gates and for admission.
        (
            "evidence",
            &["oci", "store", "bundle-signer", "registry"],
            &["clap", "axum", "reqwest", "rusqlite"],
        ),
        (
            "installer",
            &["oci", "gostd", "helm", "chart-images", "package-api", "brief", "workload-images", "registry"],
            &["clap", "axum", "reqwest", "rusqlite"],
        ),
        // Admission answers while charts are installed elsewhere: neither knows the other.
        (
            "admission",
            &[
                "oci",
                "gostd",
                "schema-bounds",
                "package-api",
                "brief",
                "workload-images",
                "telemetry",
                "bundle-signer",
                "registry",
                "evidence",
            ],
            &["clap", "reqwest", "rusqlite"],
        ),
        (
            "package-controller",
            &[
                "oci",
                "audit",
                "package-api",
                "brief",
                "telemetry",
                "bundle-signer",
                "registry",
                "evidence",
                "admission",
                "installer",
            ],
            &["clap", "axum", "reqwest", "rusqlite"],
        ),
        ("registry", &["oci", "store"], &["clap", "rusqlite", "tar"]),
        (
            "mirror",
            &["oci", "store", "gostd", "helm", "chart-images", "bundle-signer", "registry", "evidence"],
            &["clap", "axum", "reqwest", "rusqlite"],
        ),
        (
            "package-bundle",
            &["oci", "store", "gostd", "helm", "package-api", "bundle-signer", "mirror"],
            &["tokio", "clap", "axum", "reqwest", "rusqlite"],
        ),
        (
            "packager",
            // The log on the drive is files of `tlog`; `audit`, which writes them, is not needed to carry or to check them.
            &["oci", "private", "store", "tlog", "bundle-signer", "evidence", "mirror", "package-bundle"],
            &["tokio", "clap", "axum", "reqwest", "rusqlite"],
        ),
        (
            "airlock",
            &[
                "oci",
                "private",
                "store",
                "gostd",
                "helm",
                "chart-images",
                "tlog",
                "audit",
                "bundle-signer",
                "package-api",
                "brief",
                "admission",
                "installer",
                "package-controller",
                "registry",
                "evidence",
                "mirror",
                "package-bundle",
                "packager",
            ],
            &["axum", "reqwest", "rusqlite"],
        ),
    ];

    /// Crates that only these members may use.
    const OWNED: &[(&str, &[&str])] = &[
        ("clap", &["airlock"]),
        ("anyhow", &["airlock"]),
        ("indicatif", &["airlock"]),
        ("axum", &["admission", "registry", "telemetry"]),
        ("k8s-openapi", &["admission", "airlock", "installer", "package-api", "package-controller"]),
        ("kube", &["admission", "airlock", "brief", "installer", "package-api", "package-controller"]),
        ("ring", &["bundle-signer", "helm", "tlog"]),
        // The log's index is a database of its own, which can be thrown away; the store's cannot.
        ("rusqlite", &["audit", "store"]),
    ];

    fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
            .output()
            .unwrap();
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let name = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
        let normal = |package: &serde_json::Value| {
            let all = package["dependencies"].as_array().unwrap().iter();
            all.filter(|dependency| dependency["kind"].is_null()).map(name).collect()
        };
        let packages = metadata["packages"].as_array().unwrap();
        packages.iter().map(|package| (name(package), normal(package))).collect()
    }

    #[test]
    fn every_edge_is_allowed() {
        let found = dependencies();
        assert_eq!(
            found.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            EDGES.iter().map(|row| row.0).collect()
        );
        for (name, allowed, forbidden) in EDGES {
            let used = &found[*name];
            for member in found.keys().filter(|member| used.contains(*member)) {
                assert!(allowed.contains(&member.as_str()), "`{name}` must not use `{member}`");
            }
            for other in *forbidden {
                assert!(!used.contains(*other), "`{name}` must not use `{other}`");
            }
        }
    }

    #[test]
    fn heavy_crates_have_their_owners() {
        let found = dependencies();
        for (dependency, owner) in OWNED {
            let users: Vec<_> =
                found.iter().filter(|(_, used)| used.contains(*dependency)).map(|(name, _)| name).collect();
            assert_eq!(users, *owner, "`{dependency}`");
        }
    }
}
