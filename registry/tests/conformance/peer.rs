//! `registry` 3.1.2 (CNCF distribution), the peer that the same clauses are run against, and what it does
//! otherwise. A difference that disappears fails the test, so that the list stays true.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Target, Verdict};
use crate::programs::found;
use crate::{CLAUSES, block_on};

const NO_REFERRERS: &str = "it has no referrers API: the path is unknown to it";

/// Clauses that the peer does not keep, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    (
        "push_single_post_is_201_with_pullable_location",
        "it takes no blob in a POST; the specification lets it answer 202 and start a session",
    ),
    ("push_single_post_of_wrong_content_is_400", "the same: a session starts and the content is ignored"),
    ("push_mount_without_from_finds_the_blob", "it mounts only with `from`, which the specification allows"),
    (
        "push_manifest_that_is_none_is_400_manifest_invalid",
        "a manifest without configuration is taken for one with an unknown, empty digest",
    ),
    ("push_manifest_over_the_limit_is_413", "it answers 400 for a manifest over its limit"),
    (
        "push_sparse_index_is_201",
        "it refuses indexes with absent children unless configured; the specification allows both",
    ),
    (
        "push_manifest_with_absent_foreign_layer_is_201",
        "layer URLs must be allowed by its configuration, and it fails with 500 otherwise",
    ),
    (
        "push_manifest_with_subject_answers_oci_subject",
        "it has no referrers API, so it does not process `subject`",
    ),
    ("push_manifest_by_sha512_is_201", "manifests are known to it by SHA-256 only"),
    (
        "push_manifest_by_digest_with_tags_sets_them_all",
        "`?tag=` came after release 1.1 of the specification",
    ),
    ("discovery_referrers_is_200_with_all_of_them", NO_REFERRERS),
    ("discovery_referrers_carry_artifact_type_and_annotations", NO_REFERRERS),
    ("discovery_referrers_filter_is_applied_and_said", NO_REFERRERS),
    ("discovery_referrers_of_nothing_is_200_and_empty", NO_REFERRERS),
    ("discovery_referrers_of_a_missing_subject_are_listed", NO_REFERRERS),
    ("discovery_referrers_of_an_index_are_listed", NO_REFERRERS),
    ("discovery_referrers_of_a_malformed_digest_is_400", NO_REFERRERS),
    (
        "management_delete_blob_that_a_manifest_names_is_405",
        "it deletes blobs that manifests name; the specification allows both",
    ),
    ("management_deleted_referrer_leaves_the_list", NO_REFERRERS),
    (
        "api_error_for_a_malformed_name_is_400_name_invalid",
        "its router does not find a path for such a name and answers 404 without a code",
    ),
];

/// The peer's verdict on a clause, turned round where it is known to differ.
pub(crate) fn judge(name: &str, verdict: Verdict) -> Verdict {
    let known = DIFFERENCES.iter().find(|(clause, _)| *clause == name);
    match (known, verdict) {
        (None, verdict) => verdict.map_err(|error| format!("{name}: {error}")),
        (Some(_), Err(_)) => Ok(()),
        (Some((_, why)), Ok(())) => Err(format!("{name}: the peer keeps it now, although: {why}")),
    }
}

/// Starts the peer and checks all clauses; passes with a line if the peer is not installed.
pub(crate) fn verify_all() {
    let Some(program) = found("bin/registry") else { return };
    for (clause, _) in DIFFERENCES {
        assert!(CLAUSES.iter().any(|(name, _)| name == clause), "{clause} is no clause");
    }
    let folder = tempfile::tempdir().expect("no temporary folder");
    let peer = Peer::start(&program, folder.path());
    let target = Target::new(&peer.url);
    let wrong: Vec<String> =
        CLAUSES.iter().filter_map(|(name, check)| judge(name, block_on(check(&target))).err()).collect();
    assert!(wrong.is_empty(), "{} of {} clauses:\n{}", wrong.len(), CLAUSES.len(), wrong.join("\n"));
}

/// A running peer; ended when dropped.
struct Peer {
    process: Child,
    url: String,
}

impl Peer {
    fn start(program: &Path, folder: &Path) -> Self {
        // The port is free again when the listener is dropped; nothing else asks for it in between.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map(|address| address.port())
            .expect("no port");
        let config = folder.join("config.yml");
        let data = folder.join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            data.display()
        );
        std::fs::write(&config, text).expect("no configuration");
        let process = Command::new(program)
            .arg("serve")
            .arg(&config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the peer does not start");
        let peer = Self { process, url: format!("http://127.0.0.1:{port}") };
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the peer does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        peer
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
