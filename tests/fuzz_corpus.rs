//! Regression tests for fuzzing: runs each target of `fuzz/` on its corpus, without libFuzzer.

#[cfg(test)]
#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is a separate library in `fuzz/`")]
mod targets;

#[cfg(test)]
#[path = "../fuzz/src/volume_head.rs"]
#[expect(unreachable_pub, reason = "it is a module of one target in `fuzz/`")]
mod volume_head;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::{Path, PathBuf};

    use super::targets::{
        chart_archive, dsse, eksa_manifest, manifest, manifest_agreement, reference, sealed_key, signed_note,
        sigstore_bundle, template, tlog_consistency, tlog_policy, tlog_proof, trust_file, yaml,
    };
    use super::volume_head;

    type Run = fn(&[u8]);

    const TARGETS: &[(&str, Run)] = &[
        ("chart_archive", chart_archive::run),
        ("dsse", dsse::run),
        ("eksa_manifest", eksa_manifest::run),
        ("manifest", manifest::run),
        ("manifest_agreement", manifest_agreement::run),
        ("reference", reference::run),
        ("sealed_key", sealed_key::run),
        ("signed_note", signed_note::run),
        ("sigstore_bundle", sigstore_bundle::run),
        ("template", template::run),
        ("tlog_consistency", tlog_consistency::run),
        ("tlog_policy", tlog_policy::run),
        ("tlog_proof", tlog_proof::run),
        ("trust_file", trust_file::run),
        ("volume_head", volume_head::run),
        ("yaml", yaml::run),
    ];
    const MOST: usize = 50 * 1024;

    /// The files of a folder in `fuzz/`, sorted.
    fn files(folder: &str) -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder);
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    #[test]
    fn every_fuzz_target_is_run_here() {
        let stems = files("fuzz_targets");
        let stems: Vec<_> = stems.iter().map(|file| file.file_stem().unwrap().to_str().unwrap()).collect();
        assert_eq!(stems, TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }

    #[test]
    fn no_file_of_a_corpus_breaks_its_target() {
        let mut broken = Vec::new();
        for (name, run) in TARGETS {
            let corpus = files(&format!("corpus/{name}"));
            assert!(corpus.len() >= 10, "the corpus of `{name}` has fewer than 10 files");
            let mut total = 0;
            for file in corpus {
                let bytes = fs::read(&file).unwrap();
                total += bytes.len();
                if catch_unwind(|| run(&bytes)).is_err() {
                    broken.push(file);
                }
            }
            assert!(total <= MOST, "the corpus of `{name}` has {total} bytes");
        }
        assert!(broken.is_empty(), "{broken:?}");
    }
}
