//! The allowed dependencies between crates: every existing dependency must be in the table, and every crate must have a row.
//! Also: the only source files that may publish or read files, and the size of all files.

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use regex::Regex;

    /// A member, the members that it may use, and third-party crates that it must not use.
    const EDGES: &[(&str, &[&str], &[&str])] = &[
        ("error-class", &[], &["tokio", "rusqlite", "ring", "serde"]),
        ("input", &["error-class"], &["tokio", "rusqlite", "ring", "serde"]),
        ("oci", &["error-class"], &["tokio", "rusqlite"]),
        ("private", &["error-class"], &["tokio", "rusqlite", "ring"]),
        ("store", &["error-class", "oci", "private"], &["tokio", "axum"]),
        ("gostd", &["error-class"], &["tokio", "rusqlite", "ring"]),
        ("schema-bounds", &["error-class", "gostd"], &["tokio", "rusqlite", "ring"]),
        ("helm", &["error-class", "input", "gostd", "schema-bounds"], &["tokio", "rusqlite"]),
        ("chart-images", &["oci", "gostd", "helm"], &["tokio", "rusqlite", "ring"]),
        ("tlog", &["error-class", "private"], &["tokio", "rusqlite"]),
        ("audit", &["error-class", "input", "private", "tlog"], &["tokio", "clap", "anyhow", "ring"]),
        ("bundle-signer", &["error-class", "input", "oci", "gostd", "tlog"], &["tokio", "rusqlite"]),
        ("package-api", &["error-class", "gostd"], &["tokio", "rusqlite"]),
        ("error-text", &["error-class"], &["tokio", "rusqlite", "ring"]),
        ("workload-images", &["error-class", "oci"], &["tokio", "rusqlite", "ring", "kube"]),
        ("telemetry", &["error-class", "registry"], &["clap", "rusqlite", "kube"]),
        // Evidence is collected and evaluated in one place, for gates and for admission.
        (
            "evidence",
            &["error-class", "input", "oci", "store", "bundle-signer", "registry"],
            &["clap", "axum", "rusqlite"],
        ),
        (
            "installer",
            &[
                "error-class",
                "oci",
                "gostd",
                "helm",
                "chart-images",
                "package-api",
                "error-text",
                "workload-images",
                "registry",
            ],
            &["clap", "axum", "rusqlite"],
        ),
        // Admission and the installation of charts are independent: neither crate uses the other.
        (
            "admission",
            &[
                "error-class",
                "input",
                "oci",
                "gostd",
                "schema-bounds",
                "package-api",
                "error-text",
                "workload-images",
                "telemetry",
                "bundle-signer",
                "registry",
                "evidence",
            ],
            &["clap", "rusqlite"],
        ),
        (
            "package-controller",
            &[
                "error-class",
                "input",
                "oci",
                "audit",
                "package-api",
                "error-text",
                "telemetry",
                "bundle-signer",
                "registry",
                "evidence",
                "admission",
                "installer",
            ],
            &["clap", "axum", "rusqlite"],
        ),
        ("registry", &["error-class", "input", "oci", "store"], &["clap", "rusqlite", "tar"]),
        (
            "mirror",
            &[
                "error-class",
                "input",
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
            &["clap", "axum", "rusqlite"],
        ),
        (
            "package-bundle",
            &[
                "error-class",
                "input",
                "oci",
                "store",
                "gostd",
                "helm",
                "package-api",
                "bundle-signer",
                "mirror",
            ],
            &["tokio", "clap", "axum", "rusqlite"],
        ),
        (
            "packager",
            // The log on the drive consists of `tlog` files; copying and checking them does not need `audit`, which writes them.
            &[
                "error-class",
                "input",
                "oci",
                "private",
                "store",
                "tlog",
                "bundle-signer",
                "evidence",
                "mirror",
                "package-bundle",
            ],
            &["tokio", "clap", "axum", "rusqlite"],
        ),
        (
            "airlock",
            &[
                "error-class",
                "input",
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
                "error-text",
                "admission",
                "installer",
                "package-controller",
                "registry",
                "evidence",
                "mirror",
                "package-bundle",
                "packager",
                "telemetry",
            ],
            &["axum", "rusqlite"],
        ),
    ];

    /// Crates that only these members may use.
    const OWNED: &[(&str, &[&str])] = &[
        ("clap", &["airlock"]),
        ("anyhow", &["airlock"]),
        ("indicatif", &["airlock"]),
        // The one HTTP client, and no other one.
        ("hyper", &["registry"]),
        ("hyper-rustls", &["registry"]),
        ("hyper-util", &["registry"]),
        ("reqwest", &[]),
        ("ldap3", &["registry"]),
        ("axum", &["admission", "registry", "telemetry"]),
        ("k8s-openapi", &["admission", "airlock", "installer", "package-api", "package-controller"]),
        ("kube", &["admission", "airlock", "error-text", "installer", "package-api", "package-controller"]),
        ("ring", &["bundle-signer", "helm", "tlog"]),
        // The log's index is a separate database that can be deleted and rebuilt; the store's database cannot.
        ("rusqlite", &["audit", "store"]),
    ];

    /// The only source files that publish a file under its name, and the functions that they call. All others use
    /// `private::publish`.
    const PUBLISHERS: &[(&str, &[&str])] = &[
        ("private/src/publish.rs", &["fs::rename", "renameat_with", "fs::hard_link"]),
        // Below the folder of a medium, relative to its descriptor.
        ("packager/src/media/beneath.rs", &["renameat"]),
    ];

    /// Calls that publish a file or its content in one step, also through an alias of the function or its module.
    const PUBLISHING: &str = r"(?x)
        \bfs::((write|rename|copy|hard_link)\b|\*) | \bfs::\{[^}]*\b(write|rename|copy|hard_link|self\ as)\b
        | \bfs\ as\b | \bFile::create(_new|_buffered)?\b | \b(renameat(_with|2)?|linkat)\b | \.persist(_noclobber)?\b";

    /// Finds all Rust files, and counts their lines that are neither blank nor comments.
    fn lines_of_code(folder: &Path, found: &mut Vec<(usize, PathBuf)>) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                lines_of_code(&path, found);
            } else if name.ends_with(".rs") {
                let is_code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
                let lines = fs::read_to_string(&path).unwrap().lines().filter(is_code).count();
                found.push((lines, path));
            }
        }
    }

    #[test]
    fn no_file_has_more_than_400_lines_of_code() {
        let mut found = Vec::new();
        lines_of_code(Path::new(env!("CARGO_MANIFEST_DIR")), &mut found);
        assert!(found.len() > 900, "only {} files were found", found.len());
        found.retain(|(lines, _)| *lines > 400);
        assert!(found.is_empty(), "split these files by subject: {found:?}");
    }

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

    /// Source files that open files, but none that a user names: only files of a log, system files, the program itself, and
    /// folders to flush. `store` is not listed, because it opens only its own files.
    const OWN_READS: &[&str] = &[
        "audit/src/draft.rs",
        "audit/src/index/seal.rs",
        "audit/src/verify.rs",
        "audit/src/verify/newest.rs",
        "helm/src/funcs/conformance.rs",
        "mirror/src/source/archive/tarball.rs",
        "packager/src/media/beneath.rs",
        "private/src/locks.rs",
        "private/src/publish.rs",
        "src/files.rs",
        "src/past.rs",
        "src/quickstart/upstream.rs",
        "tlog/src/folder.rs",
        "tlog/src/log.rs",
        "tlog/src/log/newest.rs",
        "tlog/src/log/tail.rs",
    ];

    /// The sources of all members by path, without tests.
    fn sources() -> BTreeMap<String, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut folders: Vec<PathBuf> = EDGES.iter().map(|row| root.join(row.0).join("src")).collect();
        folders.push(root.join("src"));
        let mut found = BTreeMap::new();
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "rs") && !name.contains("/tests") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                    found.insert(name, code.to_owned());
                }
            }
        }
        assert!(found.len() > 300, "{}", found.len());
        found
    }

    #[test]
    fn o14_every_error_type_that_leaves_its_crate_has_a_class() {
        let sources = sources();
        let krate = |path: &str| path.split('/').next().unwrap().to_owned();
        let mut count = 0;
        for (path, text) in &sources {
            for (_, after) in
                text.match_indices("thiserror::Error)]").map(|(at, found)| text.split_at(at + found.len()))
            {
                let Some(line) = after.lines().find(|line| line.starts_with("pub")) else { continue };
                let is_restricted = line.starts_with("pub(crate)") && krate(path) != "src";
                let inner = is_restricted || line.starts_with("pub(super)");
                let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric()).collect();
                let at = words.iter().position(|word| ["enum", "struct"].contains(word)).unwrap();
                if inner {
                    continue;
                }
                count += 1;
                let wanted = format!("impl Classified for {} {{", words[at + 1]);
                let folder = path.rsplit_once('/').unwrap().0;
                let near = |other: &str| krate(other) == krate(path) && other.starts_with(folder);
                let has = sources.iter().any(|(other, text)| near(other) && text.contains(&wanted));
                assert!(has, "{path}: `{}` has no class", words[at + 1]);
            }
        }
        assert!(count > 30, "{count}");
    }

    #[test]
    fn o14_the_class_of_each_variant_was_decided() {
        let mut count = 0;
        for (path, text) in &sources() {
            for (at, _) in text.match_indices("fn class(&self) -> Class {") {
                let body = text[at..].split("\n    }\n").next().unwrap();
                assert!(!body.contains(" _ =>"), "{path}: {body}");
                count += 1;
            }
        }
        assert!(count > 30, "{count}");
    }

    #[test]
    fn a10_files_that_a_user_names_are_read_by_the_input_crate() {
        let reads = ["fs::read(", "fs::read_to_string(", "File::open(", "pem_file", "Kubeconfig::read"];
        let found: BTreeSet<String> = sources()
            .into_iter()
            .filter(|(path, text)| {
                !path.starts_with("store/") && reads.iter().any(|read| text.contains(read))
            })
            .map(|(path, _)| path)
            .collect();
        let known: BTreeSet<String> = OWN_READS.iter().map(|path| (*path).to_owned()).collect();
        assert_eq!(
            found, known,
            "read files that a user names with `input::read`; otherwise, add the source file to the list"
        );
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
    fn restricted_dependencies_are_used_only_by_their_owners() {
        let found = dependencies();
        for (dependency, owner) in OWNED {
            let users: Vec<_> =
                found.iter().filter(|(_, used)| used.contains(*dependency)).map(|(name, _)| name).collect();
            assert_eq!(users, *owner, "`{dependency}`");
        }
    }

    /// Adds the sources below a folder with their text, without comments and without code that is compiled for tests only.
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

    /// Removes the files of modules that are compiled for tests only.
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
    fn files_are_published_in_one_place() {
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
            "use `private::publish`, which also survives a power cut and does not follow links"
        );
    }
}
