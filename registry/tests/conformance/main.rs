//! Conformance with distribution-spec 1.1: one test for each MUST of pull, push, content discovery and content
//! management, against an in-process server, or against the registry that `AIRLOCK_CONFORMANCE_URL` names
//! (plain HTTP; with `AIRLOCK_CONFORMANCE_PEER=1` it is taken for the peer that `peer.rs` knows).
//!
//! ## Pull
//!
//! | clause | test |
//! |---|---|
//! | a GET to an existing manifest URL provides the expected manifest, with 200 | `pull_manifests_get_existing_by_tag_is_200_with_exact_bytes` |
//! | the same where the reference is a digest | `pull_manifests_get_existing_by_digest_is_200_with_exact_bytes` |
//! | the `Content-Type` is the one that was pushed | `pull_manifests_content_type_is_the_pushed_one` |
//! | `Docker-Content-Digest` matches the body | `pull_manifests_digest_header_matches_the_body` |
//! | a manifest that is not found is 404 | `pull_manifests_get_missing_is_404` |
//! | a HEAD to an existing manifest URL is 200 | `pull_manifests_head_existing_is_200_with_length` |
//! | a HEAD to a manifest that is not found is 404 | `pull_manifests_head_missing_is_404` |
//! | a manifest of a repository that is not found is 404 | `pull_manifests_of_a_missing_repository_is_404` |
//! | a GET to an existing blob URL provides the expected blob, with 200 | `pull_blobs_get_existing_is_200_with_exact_bytes` |
//! | `Docker-Content-Digest` matches the body | `pull_blobs_digest_header_matches_the_body` |
//! | a blob that is not found is 404 | `pull_blobs_get_missing_blob_is_404` |
//! | a HEAD to an existing blob URL is 200 | `pull_blobs_head_existing_is_200_with_length` |
//! | a HEAD to a blob that is not found is 404 | `pull_blobs_head_missing_blob_is_404` |
//! | found means: found in the repository | `pull_blobs_of_another_repository_are_404` |
//! | `Range` is supported as in RFC 9110 | `pull_blobs_range_is_206_with_those_bytes` |
//! | RFC 9110: an unsatisfiable range is 416 | `pull_blobs_range_outside_is_416` |
//! | RFC 9110: several ranges are `multipart/byteranges` | `pull_blobs_several_ranges_come_in_request_order` |
//! | RFC 9110: `If-None-Match` | `pull_conditional_get_of_known_content_is_304` |
//!
//! ## Push
//!
//! | clause | test |
//! |---|---|
//! | POST then PUT: POST is 202 with the `Location` of a unique session | `push_post_then_put_post_is_202_with_location` |
//! | POST then PUT: PUT is 201 with a pullable `Location` | `push_post_then_put_is_201_with_pullable_location` |
//! | single POST: 201 with a pullable `Location` | `push_single_post_is_201_with_pullable_location` |
//! | the digest must match the content | `push_single_post_of_wrong_content_is_400` |
//! | the digest must match the content, else `DIGEST_INVALID` | `push_put_of_wrong_content_is_400_digest_invalid` |
//! | the closing PUT names the digest of the whole blob | `push_put_without_digest_is_400` |
//! | a PATCH without `Content-Range` streams | `push_streamed_patch_without_range_then_put_is_201` |
//! | each chunk is 202 with `Location` and `Range: 0-<end>` | `push_chunk_is_202_with_location_and_range` |
//! | the closing PUT is 201 with a pullable `Location` | `push_chunks_then_put_is_201_with_pullable_location` |
//! | the closing PUT may hold the last chunk | `push_put_may_bring_the_last_chunk` |
//! | a chunk out of order is 416 | `push_chunk_out_of_order_is_416` |
//! | a chunk that was taken before is out of order | `push_chunk_sent_again_is_416` |
//! | after a 416 the session goes on where its status says | `push_session_survives_a_416` |
//! | also in the closing PUT | `push_last_chunk_out_of_order_is_416` |
//! | the status of a session is 204 with `Location` and `Range` | `push_upload_status_is_204_with_location_and_range` |
//! | an unknown session is 404 `BLOB_UPLOAD_UNKNOWN` | `push_upload_status_of_an_unknown_session_is_404` |
//! | cancelling a session is 204 (specification main, end-14) | `push_cancelled_upload_is_204_and_takes_no_chunk` |
//! | a blob may be empty | `push_the_empty_blob_by_every_way_is_201` |
//! | image-spec: `sha512` is a registered algorithm | `push_blob_with_a_sha512_digest_is_201` |
//! | a mount is 201 with a pullable `Location` | `push_mount_of_an_existing_blob_is_201_with_pullable_location` |
//! | a mount that is not possible is 202 and starts a session | `push_mount_of_a_missing_blob_is_202_and_a_session` |
//! | `from` may be left out | `push_mount_without_from_finds_the_blob` |
//! | a manifest is 201 with a pullable `Location` | `push_manifest_by_tag_is_201_with_pullable_location` |
//! | the same where the reference is a digest | `push_manifest_by_digest_is_201_with_pullable_location` |
//! | the manifest is stored in the exact bytes provided | `push_manifest_keeps_the_exact_bytes` |
//! | a digest as reference must match the manifest | `push_manifest_under_a_wrong_digest_is_400` |
//! | a manifest refused for missing blobs is `MANIFEST_BLOB_UNKNOWN` | `push_manifest_with_missing_blobs_is_manifest_blob_unknown` |
//! | a malformed manifest is `MANIFEST_INVALID` | `push_manifest_that_is_none_is_400_manifest_invalid` |
//! | manifests of 4 megabytes are taken | `push_manifest_of_four_megabytes_is_201` |
//! | a manifest over the limit is 413 | `push_manifest_over_the_limit_is_413` |
//! | media and artifact types need not be known | `push_manifest_with_unknown_types_is_201` |
//! | an index is a manifest | `push_index_is_201_and_keeps_its_type` |
//! | image-spec: an index may be sparse | `push_sparse_index_is_201` |
//! | image-spec: layers not to be distributed may be absent | `push_manifest_with_absent_foreign_layer_is_201` |
//! | a manifest with a `subject` is answered with `OCI-Subject` | `push_manifest_with_subject_answers_oci_subject` |
//! | the `subject` may be missing | `push_manifest_with_missing_subject_is_201` |
//! | image-spec: `sha512` is a registered algorithm | `push_manifest_by_sha512_is_201` |
//! | `?tag=` beside a digest sets tags (specification main, end-7b) | `push_manifest_by_digest_with_tags_sets_them_all` |
//! | a tag names the manifest that was pushed to it last | `push_moves_an_existing_tag` |
//!
//! ## Content Discovery
//!
//! | clause | test |
//! |---|---|
//! | the list of tags is 200, with `name` and `tags` in lexical order | `discovery_tags_list_is_200_in_lexical_order` |
//! | `n`: no more tags than that | `discovery_tags_n_limits_the_list` |
//! | `n` of zero: an empty list, no `Link` | `discovery_tags_n_of_zero_is_an_empty_list_without_link` |
//! | `last`: the list begins after it | `discovery_tags_last_is_exclusive_and_need_not_exist` |
//! | `Link`: RFC 5988, `rel="next"` | `discovery_tags_link_leads_to_the_next_page` |
//! | an unknown repository is 404 `NAME_UNKNOWN` | `discovery_tags_of_a_missing_repository_is_404_name_unknown` |
//! | (extension of every registry) `_catalog` | `discovery_catalog_lists_repositories` |
//! | referrers are 200, an image index of descriptors | `discovery_referrers_is_200_with_all_of_them` |
//! | each descriptor has `artifactType`, or the configuration's type, and annotations | `discovery_referrers_carry_artifact_type_and_annotations` |
//! | a filter that is applied is named in `OCI-Filters-Applied` | `discovery_referrers_filter_is_applied_and_said` |
//! | no referrers: an empty list, never 404 | `discovery_referrers_of_nothing_is_200_and_empty` |
//! | referrers of a subject that is missing are listed | `discovery_referrers_of_a_missing_subject_are_listed` |
//! | indexes are referrers too | `discovery_referrers_of_an_index_are_listed` |
//! | an invalid request is 400 | `discovery_referrers_of_a_malformed_digest_is_400` |
//!
//! ## Content Management
//!
//! | clause | test |
//! |---|---|
//! | deleting a tag is 202 | `management_delete_tag_is_202_and_leaves_the_manifest` |
//! | deleting a manifest is 202; it and its tags are gone | `management_delete_manifest_is_202_and_takes_its_tags` |
//! | the list of tags shows the deletion | `management_tags_list_reflects_a_deletion` |
//! | deleting what is not found is 404 | `management_delete_missing_manifest_is_404` |
//! | a repository that does not exist is 404 | `management_delete_in_a_missing_repository_is_404` |
//! | deleting a blob is 202; it is gone | `management_delete_blob_is_202_and_it_is_gone` |
//! | a blob that is not found is 404 | `management_delete_missing_blob_is_404` |
//! | a deletion that is not allowed is 405 | `management_delete_blob_that_a_manifest_names_is_405` |
//! | a deleted referrer is no longer listed | `management_deleted_referrer_leaves_the_list` |
//! | deletion is not for ever | `management_deleted_content_can_be_pushed_again` |
//!
//! ## API
//!
//! | clause | test |
//! |---|---|
//! | end-1 is 200 | `api_version_check_is_200` |
//! | code-1; errors are in the specified form | `api_error_for_a_missing_blob_is_blob_unknown` |
//! | code-7 | `api_error_for_a_missing_manifest_is_manifest_unknown` |
//! | code-4 | `api_error_for_a_malformed_digest_is_400_digest_invalid` |
//! | code-8 | `api_error_for_a_malformed_name_is_400_name_invalid` |
//! | code-3 | `api_error_for_an_unknown_upload_is_blob_upload_unknown` |
//! | RFC 9110: HEAD has no body | `api_error_to_head_has_no_body` |
//! | code-13 is 405 | `api_error_for_a_wrong_method_is_405` |
//!
//! In every answer: `Warning` headers are `299 - "text"`, 4096 bytes at most (`harness::check_warnings`).

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may fail where it stands, and say what it skips"
)]

mod api;
mod discovery;
mod harness;
mod management;
mod peer;
#[expect(dead_code, reason = "other suites use the rest")]
#[path = "../../../tests/peers/programs.rs"]
mod programs;
mod pull;
mod push;
#[path = "../support/mod.rs"]
mod support;

use std::sync::OnceLock;

use harness::{Check, Target, Verdict};
use registry::server::{ServerConfig, serve};

/// Makes a test of each clause, and the list of all.
macro_rules! clauses {
    ($($module:ident { $($name:ident,)+ })+) => {
        $($(
            #[test]
            fn $name() {
                verify(stringify!($name), |target| Box::pin($module::$name(target)));
            }
        )+)+

        /// Every clause by name.
        const CLAUSES: &[(&str, Check)] =
            &[$($((stringify!($name), |target| Box::pin($module::$name(target))),)+)+];
    };
}

clauses! {
    pull {
    pull_manifests_get_existing_by_tag_is_200_with_exact_bytes,
    pull_manifests_get_existing_by_digest_is_200_with_exact_bytes,
    pull_manifests_content_type_is_the_pushed_one,
    pull_manifests_digest_header_matches_the_body,
    pull_manifests_get_missing_is_404,
    pull_manifests_head_existing_is_200_with_length,
    pull_manifests_head_missing_is_404,
    pull_manifests_of_a_missing_repository_is_404,
    pull_blobs_get_existing_is_200_with_exact_bytes,
    pull_blobs_digest_header_matches_the_body,
    pull_blobs_get_missing_blob_is_404,
    pull_blobs_head_existing_is_200_with_length,
    pull_blobs_head_missing_blob_is_404,
    pull_blobs_of_another_repository_are_404,
    pull_blobs_range_is_206_with_those_bytes,
    pull_blobs_range_outside_is_416,
    pull_blobs_several_ranges_come_in_request_order,
    pull_conditional_get_of_known_content_is_304,
    }
    push {
    push_post_then_put_post_is_202_with_location,
    push_post_then_put_is_201_with_pullable_location,
    push_single_post_is_201_with_pullable_location,
    push_single_post_of_wrong_content_is_400,
    push_put_of_wrong_content_is_400_digest_invalid,
    push_put_without_digest_is_400,
    push_streamed_patch_without_range_then_put_is_201,
    push_chunk_is_202_with_location_and_range,
    push_chunks_then_put_is_201_with_pullable_location,
    push_put_may_bring_the_last_chunk,
    push_chunk_out_of_order_is_416,
    push_chunk_sent_again_is_416,
    push_session_survives_a_416,
    push_last_chunk_out_of_order_is_416,
    push_upload_status_is_204_with_location_and_range,
    push_upload_status_of_an_unknown_session_is_404,
    push_cancelled_upload_is_204_and_takes_no_chunk,
    push_the_empty_blob_by_every_way_is_201,
    push_blob_with_a_sha512_digest_is_201,
    push_mount_of_an_existing_blob_is_201_with_pullable_location,
    push_mount_of_a_missing_blob_is_202_and_a_session,
    push_mount_without_from_finds_the_blob,
    push_manifest_by_tag_is_201_with_pullable_location,
    push_manifest_by_digest_is_201_with_pullable_location,
    push_manifest_keeps_the_exact_bytes,
    push_manifest_under_a_wrong_digest_is_400,
    push_manifest_with_missing_blobs_is_manifest_blob_unknown,
    push_manifest_that_is_none_is_400_manifest_invalid,
    push_manifest_of_four_megabytes_is_201,
    push_manifest_over_the_limit_is_413,
    push_manifest_with_unknown_types_is_201,
    push_index_is_201_and_keeps_its_type,
    push_sparse_index_is_201,
    push_manifest_with_absent_foreign_layer_is_201,
    push_manifest_with_subject_answers_oci_subject,
    push_manifest_with_missing_subject_is_201,
    push_manifest_by_sha512_is_201,
    push_manifest_by_digest_with_tags_sets_them_all,
    push_moves_an_existing_tag,
    }
    discovery {
    discovery_tags_list_is_200_in_lexical_order,
    discovery_tags_n_limits_the_list,
    discovery_tags_n_of_zero_is_an_empty_list_without_link,
    discovery_tags_last_is_exclusive_and_need_not_exist,
    discovery_tags_link_leads_to_the_next_page,
    discovery_tags_of_a_missing_repository_is_404_name_unknown,
    discovery_catalog_lists_repositories,
    discovery_referrers_is_200_with_all_of_them,
    discovery_referrers_carry_artifact_type_and_annotations,
    discovery_referrers_filter_is_applied_and_said,
    discovery_referrers_of_nothing_is_200_and_empty,
    discovery_referrers_of_a_missing_subject_are_listed,
    discovery_referrers_of_an_index_are_listed,
    discovery_referrers_of_a_malformed_digest_is_400,
    }
    management {
    management_delete_tag_is_202_and_leaves_the_manifest,
    management_delete_manifest_is_202_and_takes_its_tags,
    management_tags_list_reflects_a_deletion,
    management_delete_missing_manifest_is_404,
    management_delete_in_a_missing_repository_is_404,
    management_delete_blob_is_202_and_it_is_gone,
    management_delete_missing_blob_is_404,
    management_delete_blob_that_a_manifest_names_is_405,
    management_deleted_referrer_leaves_the_list,
    management_deleted_content_can_be_pushed_again,
    }
    api {
    api_version_check_is_200,
    api_error_for_a_missing_blob_is_blob_unknown,
    api_error_for_a_missing_manifest_is_manifest_unknown,
    api_error_for_a_malformed_digest_is_400_digest_invalid,
    api_error_for_a_malformed_name_is_400_name_invalid,
    api_error_for_an_unknown_upload_is_blob_upload_unknown,
    api_error_to_head_has_no_body,
    api_error_for_a_wrong_method_is_405,
    }
}

/// The peer that proves the tests right: the same clauses, with its differences named and explained.
#[test]
fn conformance_peer() {
    peer::verify_all();
}

/// Checks one clause against the registry under test.
fn verify(name: &str, check: Check) {
    let target = match std::env::var("AIRLOCK_CONFORMANCE_URL") {
        Ok(url) => Target::new(&url),
        Err(_) => Target::new(own_server()),
    };
    let verdict = block_on(check(&target));
    if std::env::var_os("AIRLOCK_CONFORMANCE_PEER").is_some() {
        peer::judge(name, verdict).expect("the peer differs");
    } else {
        verdict.expect(name);
    }
}

fn block_on(check: impl Future<Output = Verdict>) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(check)
}

/// One server for all tests, on a free port, over a store that goes away with the process's folder.
fn own_server() -> &'static str {
    static SERVER: OnceLock<(String, tempfile::TempDir)> = OnceLock::new();
    let (url, _) = SERVER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("no temporary folder");
        let store = store::Store::open(folder.path()).expect("no store");
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("no runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("no port");
                sender.send(listener.local_addr().expect("no address")).expect("nobody waits");
                serve(listener, None, ServerConfig::new(store), std::future::pending()).await
            })
        });
        let address = receiver.recv().expect("the server did not start");
        (format!("http://{address}"), folder)
    });
    url
}
