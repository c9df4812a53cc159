//! "Push": blobs in one request, two, or many; mounts; manifests.

use oci::{Algorithm, Digest};
use serde_json::json;

use crate::harness::{
    IMAGE, INDEX, OCTETS, Target, Verdict, absent, content, ensure, image, unique, with_digest,
};

async fn is_pullable(target: &Target, location: &str, bytes: &[u8]) -> Verdict {
    let answer = target.get(location).await?;
    answer.is(200)?;
    ensure!(answer.body == bytes, "the location serves other bytes");
    Ok(())
}

pub(crate) async fn push_post_then_put_post_is_202_with_location(target: &Target) -> Verdict {
    let repository = Target::repository();
    let (first, second) = (target.start(&repository).await?, target.start(&repository).await?);
    ensure!(first != second, "two sessions share a location");
    Ok(())
}

pub(crate) async fn push_post_then_put_is_201_with_pullable_location(target: &Target) -> Verdict {
    let repository = Target::repository();
    let bytes = content(3000);
    let location = with_digest(&target.start(&repository).await?, &Digest::sha256(&bytes));
    let answer = target.send("PUT", &location, &[("content-type", OCTETS)], bytes.clone()).await?;
    answer.is(201)?;
    is_pullable(target, answer.header("location")?, &bytes).await
}

pub(crate) async fn push_single_post_is_201_with_pullable_location(target: &Target) -> Verdict {
    let repository = Target::repository();
    let bytes = content(3000);
    let path = with_digest(&format!("/v2/{repository}/blobs/uploads/"), &Digest::sha256(&bytes));
    let answer = target.send("POST", &path, &[("content-type", OCTETS)], bytes.clone()).await?;
    answer.is(201)?;
    is_pullable(target, answer.header("location")?, &bytes).await
}

pub(crate) async fn push_single_post_of_wrong_content_is_400(target: &Target) -> Verdict {
    let repository = Target::repository();
    let digest = Digest::sha256(unique("other").as_bytes());
    let path = with_digest(&format!("/v2/{repository}/blobs/uploads/"), &digest);
    target.send("POST", &path, &[], content(100)).await?.is(400)?;
    target.get(&format!("/v2/{repository}/blobs/{digest}")).await?.is(404)
}

pub(crate) async fn push_put_of_wrong_content_is_400_digest_invalid(target: &Target) -> Verdict {
    let repository = Target::repository();
    let digest = Digest::sha256(unique("other").as_bytes());
    let location = with_digest(&target.start(&repository).await?, &digest);
    let answer = target.send("PUT", &location, &[("content-type", OCTETS)], content(100)).await?;
    answer.is(400)?;
    answer.refuses_with("DIGEST_INVALID")?;
    target.get(&format!("/v2/{repository}/blobs/{digest}")).await?.is(404)
}

pub(crate) async fn push_put_without_digest_is_400(target: &Target) -> Verdict {
    let location = target.start(&Target::repository()).await?;
    target.send("PUT", &location, &[("content-type", OCTETS)], content(10)).await?.is(400)
}

pub(crate) async fn push_streamed_patch_without_range_then_put_is_201(target: &Target) -> Verdict {
    let repository = Target::repository();
    let bytes = content(700_000);
    let location = target.start(&repository).await?;
    let pieces = bytes.chunks(32 * 1024).map(<[u8]>::to_vec).collect();
    let answer = target.send("PATCH", &location, &[("content-type", OCTETS)], Target::stream(pieces)).await?;
    answer.is(202)?;
    let location = with_digest(answer.header("location")?, &Digest::sha256(&bytes));
    let answer = target.send("PUT", &location, &[], "").await?;
    answer.is(201)?;
    is_pullable(target, answer.header("location")?, &bytes).await
}

/// Sends one chunk that begins at `first`.
async fn chunk(
    target: &Target,
    location: &str,
    first: usize,
    bytes: &[u8],
) -> Result<crate::harness::Answer, String> {
    let range = format!("{first}-{}", first + bytes.len() - 1);
    target
        .send("PATCH", location, &[("content-type", OCTETS), ("content-range", &range)], bytes.to_vec())
        .await
}

pub(crate) async fn push_chunk_is_202_with_location_and_range(target: &Target) -> Verdict {
    let location = target.start(&Target::repository()).await?;
    let bytes = content(300);
    let answer = chunk(target, &location, 0, &bytes[..100]).await?;
    answer.is(202)?;
    answer.has("range", "0-99")?;
    let answer = chunk(target, answer.header("location")?, 100, &bytes[100..]).await?;
    answer.is(202)?;
    answer.header("location")?;
    answer.has("range", "0-299")
}

pub(crate) async fn push_chunks_then_put_is_201_with_pullable_location(target: &Target) -> Verdict {
    let bytes = content(300);
    let location = target.start(&Target::repository()).await?;
    let answer = chunk(target, &location, 0, &bytes[..100]).await?;
    let answer = chunk(target, answer.header("location")?, 100, &bytes[100..]).await?;
    let location = with_digest(answer.header("location")?, &Digest::sha256(&bytes));
    let answer = target.send("PUT", &location, &[], "").await?;
    answer.is(201)?;
    is_pullable(target, answer.header("location")?, &bytes).await
}

pub(crate) async fn push_put_may_bring_the_last_chunk(target: &Target) -> Verdict {
    let bytes = content(300);
    let location = target.start(&Target::repository()).await?;
    let answer = chunk(target, &location, 0, &bytes[..100]).await?;
    let location = with_digest(answer.header("location")?, &Digest::sha256(&bytes));
    let headers = [("content-type", OCTETS), ("content-range", "100-299")];
    let answer = target.send("PUT", &location, &headers, bytes[100..].to_vec()).await?;
    answer.is(201)?;
    is_pullable(target, answer.header("location")?, &bytes).await
}

pub(crate) async fn push_chunk_out_of_order_is_416(target: &Target) -> Verdict {
    let location = target.start(&Target::repository()).await?;
    chunk(target, &location, 100, &content(50)).await?.is(416)
}

pub(crate) async fn push_chunk_sent_again_is_416(target: &Target) -> Verdict {
    let location = target.start(&Target::repository()).await?;
    let bytes = content(100);
    let answer = chunk(target, &location, 0, &bytes).await?;
    answer.is(202)?;
    chunk(target, answer.header("location")?, 0, &bytes).await?.is(416)
}

pub(crate) async fn push_session_survives_a_416(target: &Target) -> Verdict {
    let bytes = content(200);
    let location = target.start(&Target::repository()).await?;
    let first = chunk(target, &location, 0, &bytes[..100]).await?;
    let location = first.header("location")?;
    chunk(target, location, 150, &bytes[150..]).await?.is(416)?;
    let status = target.get(location).await?;
    status.is(204)?;
    status.has("range", "0-99")?;
    let second = chunk(target, status.header("location")?, 100, &bytes[100..]).await?;
    second.is(202)?;
    let location = with_digest(second.header("location")?, &Digest::sha256(&bytes));
    target.send("PUT", &location, &[], "").await?.is(201)
}

pub(crate) async fn push_last_chunk_out_of_order_is_416(target: &Target) -> Verdict {
    let bytes = content(300);
    let location = target.start(&Target::repository()).await?;
    let answer = chunk(target, &location, 0, &bytes[..100]).await?;
    let location = with_digest(answer.header("location")?, &Digest::sha256(&bytes));
    let headers = [("content-type", OCTETS), ("content-range", "200-299")];
    target.send("PUT", &location, &headers, bytes[200..].to_vec()).await?.is(416)
}

pub(crate) async fn push_upload_status_is_204_with_location_and_range(target: &Target) -> Verdict {
    let location = target.start(&Target::repository()).await?;
    chunk(target, &location, 0, &content(100)).await?.is(202)?;
    // An earlier location of the session must still do, also with a digest in it.
    let answer = target.get(&with_digest(&location, &Digest::sha256(b""))).await?;
    answer.is(204)?;
    answer.header("location")?;
    answer.has("range", "0-99")
}

pub(crate) async fn push_upload_status_of_an_unknown_session_is_404(target: &Target) -> Verdict {
    let repository = Target::repository();
    let location = target.start(&repository).await?;
    target.delete(&location).await?.is(204)?;
    let answer = target.get(&location).await?;
    answer.is(404)?;
    answer.refuses_with("BLOB_UPLOAD_UNKNOWN")
}

pub(crate) async fn push_cancelled_upload_is_204_and_takes_no_chunk(target: &Target) -> Verdict {
    let location = target.start(&Target::repository()).await?;
    target.delete(&location).await?.is(204)?;
    chunk(target, &location, 0, &content(10)).await?.is(404)
}

pub(crate) async fn push_the_empty_blob_by_every_way_is_201(target: &Target) -> Verdict {
    let repository = Target::repository();
    let empty = Digest::sha256(b"");
    let location = target.start(&repository).await?;
    target.send("PUT", &with_digest(&location, &empty), &[], "").await?.is(201)?;
    let location = target.start(&repository).await?;
    let answer = target.send("PATCH", &location, &[("content-type", OCTETS)], "").await?;
    answer.is(202)?;
    let answer = target.send("PUT", &with_digest(answer.header("location")?, &empty), &[], "").await?;
    answer.is(201)?;
    is_pullable(target, answer.header("location")?, b"").await
}

pub(crate) async fn push_blob_with_a_sha512_digest_is_201(target: &Target) -> Verdict {
    let repository = Target::repository();
    let bytes = content(3000);
    let digest = Digest::of(Algorithm::Sha512, &bytes);
    let location = with_digest(&target.start(&repository).await?, &digest);
    let answer = target.send("PUT", &location, &[("content-type", OCTETS)], bytes.clone()).await?;
    answer.is(201)?;
    is_pullable(target, &format!("/v2/{repository}/blobs/{digest}"), &bytes).await
}

pub(crate) async fn push_mount_of_an_existing_blob_is_201_with_pullable_location(target: &Target) -> Verdict {
    let (from, to) = (Target::repository(), Target::repository());
    let bytes = content(100);
    let digest = target.push_blob(&from, &bytes).await?;
    let path = format!("/v2/{to}/blobs/uploads/?mount={digest}&from={from}");
    let answer = target.send("POST", &path, &[], "").await?;
    answer.is(201)?;
    is_pullable(target, answer.header("location")?, &bytes).await?;
    is_pullable(target, &format!("/v2/{to}/blobs/{digest}"), &bytes).await
}

pub(crate) async fn push_mount_of_a_missing_blob_is_202_and_a_session(target: &Target) -> Verdict {
    let (from, to) = (Target::repository(), Target::repository());
    let bytes = content(100);
    let digest = Digest::sha256(&bytes);
    let path = format!("/v2/{to}/blobs/uploads/?mount={digest}&from={from}");
    let answer = target.send("POST", &path, &[], "").await?;
    answer.is(202)?;
    let location = with_digest(answer.header("location")?, &digest);
    target.send("PUT", &location, &[("content-type", OCTETS)], bytes).await?.is(201)
}

pub(crate) async fn push_mount_without_from_finds_the_blob(target: &Target) -> Verdict {
    let (from, to) = (Target::repository(), Target::repository());
    let bytes = content(100);
    let digest = target.push_blob(&from, &bytes).await?;
    let answer = target.send("POST", &format!("/v2/{to}/blobs/uploads/?mount={digest}"), &[], "").await?;
    answer.is(201)?;
    is_pullable(target, answer.header("location")?, &bytes).await
}

pub(crate) async fn push_manifest_by_tag_is_201_with_pullable_location(target: &Target) -> Verdict {
    let image = target.push_image(&Target::repository(), "v1").await?;
    is_pullable(target, image.answer.header("location")?, &image.bytes).await?;
    image.answer.has("docker-content-digest", &image.digest.to_string())
}

pub(crate) async fn push_manifest_by_digest_is_201_with_pullable_location(target: &Target) -> Verdict {
    let image = target.push_image(&Target::repository(), "").await?;
    is_pullable(target, image.answer.header("location")?, &image.bytes).await
}

pub(crate) async fn push_manifest_keeps_the_exact_bytes(target: &Target) -> Verdict {
    let repository = Target::repository();
    let config = content(10);
    let digest = target.push_blob(&repository, &config).await?;
    let pretty = serde_json::to_string_pretty(&image(&[(&digest, config.len())]));
    let bytes = format!("\n{}\n\n", pretty.map_err(|error| error.to_string())?);
    target.put_manifest(&repository, "v1", IMAGE, bytes.as_bytes()).await?.is(201)?;
    is_pullable(target, &format!("/v2/{repository}/manifests/v1"), bytes.as_bytes()).await
}

pub(crate) async fn push_manifest_under_a_wrong_digest_is_400(target: &Target) -> Verdict {
    let repository = Target::repository();
    let image = target.push_image(&repository, "v1").await?;
    let wrong = Digest::sha256(unique("wrong").as_bytes());
    let answer = target.put_manifest(&repository, &wrong.to_string(), IMAGE, &image.bytes).await?;
    answer.is(400)?;
    answer.refuses_with("DIGEST_INVALID")
}

pub(crate) async fn push_manifest_with_missing_blobs_is_manifest_blob_unknown(target: &Target) -> Verdict {
    let repository = Target::repository();
    let (one, two) = (Digest::sha256(&content(10)), Digest::sha256(&content(20)));
    let bytes = image(&[(&one, 10), (&two, 20)]).to_string();
    let answer = target.put_manifest(&repository, "v1", IMAGE, bytes.as_bytes()).await?;
    answer.is_one_of(&[400, 404])?;
    answer.refuses_with("MANIFEST_BLOB_UNKNOWN")?;
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    for digest in [one, two] {
        ensure!(body.contains(&digest.to_string()), "the answer does not name {digest}");
    }
    target.get(&format!("/v2/{repository}/manifests/v1")).await?.is(404)
}

pub(crate) async fn push_manifest_that_is_none_is_400_manifest_invalid(target: &Target) -> Verdict {
    let repository = Target::repository();
    for bytes in ["", "{", "[]", "{\"schemaVersion\":2}"] {
        let answer = target.put_manifest(&repository, "v1", IMAGE, bytes.as_bytes()).await?;
        answer.is(400)?;
        answer.refuses_with("MANIFEST_INVALID")?;
    }
    Ok(())
}

pub(crate) async fn push_manifest_of_four_megabytes_is_201(target: &Target) -> Verdict {
    let repository = Target::repository();
    let text = String::from_utf8(content(4_000_000)).map_err(|error| error.to_string())?;
    target.push_image_with(&repository, "v1", &json!({ "annotations": { "large": text } })).await?;
    Ok(())
}

pub(crate) async fn push_manifest_over_the_limit_is_413(target: &Target) -> Verdict {
    let repository = Target::repository();
    let bytes = vec![b' '; 5 * 1024 * 1024];
    target.put_manifest(&repository, "v1", IMAGE, &bytes).await?.is(413)
}

pub(crate) async fn push_manifest_with_unknown_types_is_201(target: &Target) -> Verdict {
    let repository = Target::repository();
    let bytes = content(10);
    let digest = target.push_blob(&repository, &bytes).await?;
    let descriptor =
        json!({ "mediaType": "application/vnd.example.thing", "digest": digest.to_string(), "size": 10 });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": IMAGE, "artifactType": "application/vnd.example.artifact",
        "config": descriptor, "layers": [descriptor],
    });
    target.put_manifest(&repository, "v1", IMAGE, manifest.to_string().as_bytes()).await?.is(201)
}

pub(crate) async fn push_index_is_201_and_keeps_its_type(target: &Target) -> Verdict {
    let repository = Target::repository();
    let child = target.push_image(&repository, "").await?;
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [
        { "mediaType": IMAGE, "digest": child.digest.to_string(), "size": child.bytes.len() },
    ]});
    target.put_manifest(&repository, "v1", INDEX, index.to_string().as_bytes()).await?.is(201)?;
    target.get(&format!("/v2/{repository}/manifests/v1")).await?.has("content-type", INDEX)
}

pub(crate) async fn push_sparse_index_is_201(target: &Target) -> Verdict {
    let repository = Target::repository();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [absent(IMAGE)] });
    target.put_manifest(&repository, "v1", INDEX, index.to_string().as_bytes()).await?.is(201)
}

pub(crate) async fn push_manifest_with_absent_foreign_layer_is_201(target: &Target) -> Verdict {
    let repository = Target::repository();
    let config = content(10);
    let digest = target.push_blob(&repository, &config).await?;
    let mut layer = absent("application/vnd.oci.image.layer.nondistributable.v1.tar");
    layer["urls"] = json!(["https://example.com/layer"]);
    let mut manifest = image(&[(&digest, config.len())]);
    manifest["layers"] = json!([layer]);
    target.put_manifest(&repository, "v1", IMAGE, manifest.to_string().as_bytes()).await?.is(201)
}

pub(crate) async fn push_manifest_with_subject_answers_oci_subject(target: &Target) -> Verdict {
    let repository = Target::repository();
    let subject = target.push_image(&repository, "v1").await?;
    let descriptor =
        json!({ "mediaType": IMAGE, "digest": subject.digest.to_string(), "size": subject.bytes.len() });
    let referrer = target.push_image_with(&repository, "", &json!({ "subject": descriptor })).await?;
    referrer.answer.has("oci-subject", &subject.digest.to_string())
}

pub(crate) async fn push_manifest_with_missing_subject_is_201(target: &Target) -> Verdict {
    let more = json!({ "subject": absent(IMAGE) });
    target.push_image_with(&Target::repository(), "v1", &more).await?;
    Ok(())
}

pub(crate) async fn push_manifest_by_sha512_is_201(target: &Target) -> Verdict {
    let repository = Target::repository();
    let config = content(10);
    let blob = target.push_blob(&repository, &config).await?;
    let bytes = image(&[(&blob, config.len())]).to_string();
    let digest = Digest::of(Algorithm::Sha512, bytes.as_bytes());
    target.put_manifest(&repository, &digest.to_string(), IMAGE, bytes.as_bytes()).await?.is(201)?;
    is_pullable(target, &format!("/v2/{repository}/manifests/{digest}"), bytes.as_bytes()).await
}

pub(crate) async fn push_manifest_by_digest_with_tags_sets_them_all(target: &Target) -> Verdict {
    let repository = Target::repository();
    let config = content(10);
    let blob = target.push_blob(&repository, &config).await?;
    let bytes = image(&[(&blob, config.len())]).to_string();
    let reference = format!("{}?tag=one&tag=two", Digest::sha256(bytes.as_bytes()));
    let answer = target.put_manifest(&repository, &reference, IMAGE, bytes.as_bytes()).await?;
    answer.is(201)?;
    answer.has("oci-tag", "one, two")?;
    is_pullable(target, &format!("/v2/{repository}/manifests/two"), bytes.as_bytes()).await
}

pub(crate) async fn push_moves_an_existing_tag(target: &Target) -> Verdict {
    let repository = Target::repository();
    target.push_image(&repository, "v1").await?;
    let second = target.push_image(&repository, "v1").await?;
    is_pullable(target, &format!("/v2/{repository}/manifests/v1"), &second.bytes).await
}
