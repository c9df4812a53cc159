//! Which crate may use which: every edge that exists must be in this table, and every crate must have a row. And which
//! files of the sources may give a file its name.

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use regex::Regex;

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
            &[
                "oci",
                "private",
                "store",
                "gostd",
                "helm",
                "chart-images",
                "package-api",
                "bundle-signer",
                "registry",
                "evidence",
            ],
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

    /// The only sources in which a file gets its name, and what they call for it. All others use `private::publish`.
    const PUBLISHERS: &[(&str, &[&str])] = &[
        ("private/src/publish.rs", &["fs::rename", "renameat_with", "fs::hard_link"]),
        // Beneath the folder of a medium, by its descriptor.
        ("packager/src/media/beneath.rs", &["renameat"]),
    ];

    /// How a file could get its name or its content in one call, also by another name for the function or its module.
    const PUBLISHING: &str = r"(?x)
        \bfs::((write|rename|copy|hard_link)\b|\*) | \bfs::\{[^}]*\b(write|rename|copy|hard_link|self\ as)\b
        | \bfs\ as\b | \bFile::create(_new|_buffered)?\b | \b(renameat(_with|2)?|linkat)\b | \.persist(_noclobber)?\b";

    fn metadata() -> serde_json::Value {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
        let metadata = metadata();
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

    /// Adds the sources below a folder with their text; without comments and without what is compiled for tests only.
    fn read_sources(folder: &Path, sources: &mut BTreeMap<PathBuf, String>) {
        let inline = Regex::new(r"(?ms)^#\[cfg\(test\)\]\nmod \w+ \{\n.*?^\}\n").unwrap();
        let comment = Regex::new(r"(?m)^ *//.*$").unwrap();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read_sources(&path, sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let text = inline.replace_all(&text, "");
                sources.insert(path, comment.replace_all(&text, "").into_owned());
            }
        }
    }

    /// Drops the files of modules that are compiled for tests only.
    fn drop_tests(sources: &mut BTreeMap<PathBuf, String>) {
        let declared = Regex::new(r"#\[cfg\(test\)\]\n *(?:pub\(crate\) )?mod (\w+);").unwrap();
        let mut tests = BTreeSet::new();
        for (path, text) in &*sources {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let folder = match stem {
                "lib" | "main" => path.parent().unwrap().to_owned(),
                _ => path.with_extension(""),
            };
            for module in declared.captures_iter(text) {
                tests.insert(folder.join(&module[1]));
            }
        }
        sources.retain(|path, _| !path.ancestors().any(|above| tests.contains(&above.with_extension(""))));
    }

    #[test]
    fn files_get_their_names_in_one_place() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut sources = BTreeMap::new();
        for package in metadata()["packages"].as_array().unwrap() {
            let manifest = Path::new(package["manifest_path"].as_str().unwrap());
            read_sources(&manifest.with_file_name("src"), &mut sources);
        }
        drop_tests(&mut sources);
        assert!(sources.len() > 400, "only {} sources were found", sources.len());
        let pattern = Regex::new(PUBLISHING).unwrap();
        let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (path, text) in &sources {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            for call in pattern.find_iter(text) {
                found.entry(name).or_default().insert(call.as_str());
            }
        }
        let allowed =
            PUBLISHERS.iter().map(|(name, calls)| (*name, calls.iter().copied().collect())).collect();
        assert_eq!(
            found, allowed,
            "use `private::publish`, which also survives a power cut and follows no link"
        );
    }
}
