//! "API": the version check, and the form and codes of errors.

use oci::Digest;

use crate::harness::{IMAGE, Target, Verdict, content, ensure, unique};

pub(crate) async fn api_version_check_is_200(target: &Target) -> Verdict {
    target.get("/v2/").await?.is(200)
}

pub(crate) async fn api_error_for_a_missing_blob_is_blob_unknown(target: &Target) -> Verdict {
    let repository = Target::repository();
    target.push_blob(&repository, &content(10)).await?;
    let digest = Digest::sha256(unique("nothing").as_bytes());
    target.get(&format!("/v2/{repository}/blobs/{digest}")).await?.refuses_with("BLOB_UNKNOWN")
}

pub(crate) async fn api_error_for_a_missing_manifest_is_manifest_unknown(target: &Target) -> Verdict {
    let repository = Target::repository();
    target.push_image(&repository, "v1").await?;
    target.get(&format!("/v2/{repository}/manifests/absent")).await?.refuses_with("MANIFEST_UNKNOWN")
}

pub(crate) async fn api_error_for_a_malformed_digest_is_400_digest_invalid(target: &Target) -> Verdict {
    let repository = Target::repository();
    let image = target.push_image(&repository, "v1").await?;
    let path = format!("/v2/{repository}/manifests/sha256:totallywrong");
    for method in ["GET", "DELETE"] {
        let answer = target.send(method, &path, &[], "").await?;
        answer.is(400)?;
        answer.refuses_with("DIGEST_INVALID")?;
    }
    let answer = target.put_manifest(&repository, "sha256:totallywrong", IMAGE, &image.bytes).await?;
    answer.is(400)?;
    answer.refuses_with("DIGEST_INVALID")
}

pub(crate) async fn api_error_for_a_malformed_name_is_400_name_invalid(target: &Target) -> Verdict {
    let answer = target.get("/v2/Not_A_Name/tags/list").await?;
    answer.is(400)?;
    answer.refuses_with("NAME_INVALID")
}

pub(crate) async fn api_error_for_an_unknown_upload_is_blob_upload_unknown(target: &Target) -> Verdict {
    let location = target.start(&Target::repository()).await?;
    target.delete(&location).await?.is(204)?;
    let answer = target.send("PATCH", &location, &[], content(10)).await?;
    answer.is(404)?;
    answer.refuses_with("BLOB_UPLOAD_UNKNOWN")
}

pub(crate) async fn api_error_to_head_has_no_body(target: &Target) -> Verdict {
    let repository = Target::repository();
    target.push_image(&repository, "v1").await?;
    let answer = target.head(&format!("/v2/{repository}/manifests/absent")).await?;
    answer.is(404)?;
    ensure!(answer.body.is_empty(), "an answer to HEAD has a body");
    Ok(())
}

pub(crate) async fn api_error_for_a_wrong_method_is_405(target: &Target) -> Verdict {
    let repository = Target::repository();
    target.push_image(&repository, "v1").await?;
    target.send("POST", &format!("/v2/{repository}/manifests/v1"), &[], "").await?.is(405)
}
