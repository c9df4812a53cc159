//! "Pull": getting and asking for manifests and blobs.

use oci::Digest;

use crate::harness::{Target, Verdict, content, ensure, unique};

pub(crate) async fn pull_manifests_get_existing_by_tag_is_200_with_exact_bytes(target: &Target) -> Verdict {
    let repository = Target::repository();
    let image = target.push_image(&repository, "v1").await?;
    let answer = target.get(&format!("/v2/{repository}/manifests/v1")).await?;
    answer.is(200)?;
    ensure!(answer.body == image.bytes, "the bytes differ from those pushed");
    Ok(())
}

pub(crate) async fn pull_manifests_get_existing_by_digest_is_200_with_exact_bytes(
    target: &Target,
) -> Verdict {
    let repository = Target::repository();
    let image = target.push_image(&repository, "v1").await?;
    let answer = target.get(&format!("/v2/{repository}/manifests/{}", image.digest)).await?;
    answer.is(200)?;
    ensure!(answer.body == image.bytes, "the bytes differ from those pushed");
    Ok(())
}

pub(crate) async fn pull_manifests_content_type_is_the_pushed_one(target: &Target) -> Verdict {
    let repository = Target::repository();
    target.push_image(&repository, "v1").await?;
    let answer = target.get(&format!("/v2/{repository}/manifests/v1")).await?;
    answer.has("content-type", crate::harness::IMAGE)
}

pub(crate) async fn pull_manifests_digest_header_matches_the_body(target: &Target) -> Verdict {
    let repository = Target::repository();
    target.push_image(&repository, "v1").await?;
    for method in ["GET", "HEAD"] {
        let path = format!("/v2/{repository}/manifests/v1");
        let answer = target.send(method, &path, &[], "").await?;
        let body = target.get(&path).await?.body;
        answer.has("docker-content-digest", &Digest::sha256(&body).to_string())?;
    }
    Ok(())
}

pub(crate) async fn pull_manifests_get_missing_is_404(target: &Target) -> Verdict {
    let repository = Target::repository();
    target.push_image(&repository, "v1").await?;
    let digest = Digest::sha256(unique("nothing").as_bytes());
    target.get(&format!("/v2/{repository}/manifests/absent")).await?.is(404)?;
    target.get(&format!("/v2/{repository}/manifests/{digest}")).await?.is(404)
}

pub(crate) async fn pull_manifests_head_existing_is_200_with_length(target: &Target) -> Verdict {
    let repository = Target::repository();
    let image = target.push_image(&repository, "v1").await?;
    for reference in ["v1".to_owned(), image.digest.to_string()] {
        let answer = target.head(&format!("/v2/{repository}/manifests/{reference}")).await?;
        answer.is(200)?;
        answer.has("content-length", &image.bytes.len().to_string())?;
        ensure!(answer.body.is_empty(), "an answer to HEAD has a body");
    }
    Ok(())
}

pub(crate) async fn pull_manifests_head_missing_is_404(target: &Target) -> Verdict {
    let repository = Target::repository();
    target.push_image(&repository, "v1").await?;
    target.head(&format!("/v2/{repository}/manifests/absent")).await?.is(404)
}

pub(crate) async fn pull_manifests_of_a_missing_repository_is_404(target: &Target) -> Verdict {
    let repository = Target::repository();
    target.get(&format!("/v2/{repository}/manifests/v1")).await?.is(404)
}

pub(crate) async fn pull_blobs_get_existing_is_200_with_exact_bytes(target: &Target) -> Verdict {
    let repository = Target::repository();
    let bytes = content(100_000);
    let digest = target.push_blob(&repository, &bytes).await?;
    let answer = target.get(&format!("/v2/{repository}/blobs/{digest}")).await?;
    answer.is(200)?;
    ensure!(answer.body == bytes, "the bytes differ from those pushed");
    Ok(())
}

pub(crate) async fn pull_blobs_digest_header_matches_the_body(target: &Target) -> Verdict {
    let repository = Target::repository();
    let digest = target.push_blob(&repository, &content(1000)).await?;
    for method in ["GET", "HEAD"] {
        let answer = target.send(method, &format!("/v2/{repository}/blobs/{digest}"), &[], "").await?;
        answer.has("docker-content-digest", &digest.to_string())?;
    }
    Ok(())
}

pub(crate) async fn pull_blobs_get_missing_blob_is_404(target: &Target) -> Verdict {
    let repository = Target::repository();
    target.push_blob(&repository, &content(10)).await?;
    let digest = Digest::sha256(unique("nothing").as_bytes());
    target.get(&format!("/v2/{repository}/blobs/{digest}")).await?.is(404)
}

pub(crate) async fn pull_blobs_head_existing_is_200_with_length(target: &Target) -> Verdict {
    let repository = Target::repository();
    let digest = target.push_blob(&repository, &content(1234)).await?;
    let answer = target.head(&format!("/v2/{repository}/blobs/{digest}")).await?;
    answer.is(200)?;
    answer.has("content-length", "1234")?;
    ensure!(answer.body.is_empty(), "an answer to HEAD has a body");
    Ok(())
}

pub(crate) async fn pull_blobs_head_missing_blob_is_404(target: &Target) -> Verdict {
    let repository = Target::repository();
    target.push_blob(&repository, &content(10)).await?;
    let digest = Digest::sha256(unique("nothing").as_bytes());
    target.head(&format!("/v2/{repository}/blobs/{digest}")).await?.is(404)
}

pub(crate) async fn pull_blobs_of_another_repository_are_404(target: &Target) -> Verdict {
    let (owner, other) = (Target::repository(), Target::repository());
    let digest = target.push_blob(&owner, &content(10)).await?;
    target.push_blob(&other, &content(10)).await?;
    target.get(&format!("/v2/{other}/blobs/{digest}")).await?.is(404)
}

pub(crate) async fn pull_blobs_range_is_206_with_those_bytes(target: &Target) -> Verdict {
    let repository = Target::repository();
    let bytes = content(5000);
    let digest = target.push_blob(&repository, &bytes).await?;
    let path = format!("/v2/{repository}/blobs/{digest}");
    for (range, expected, said) in [
        ("bytes=500-1499", &bytes[500..1500], "bytes 500-1499/5000"),
        ("bytes=500-", &bytes[500..], "bytes 500-4999/5000"),
        ("bytes=0-", &bytes[..], "bytes 0-4999/5000"),
        ("bytes=-500", &bytes[4500..], "bytes 4500-4999/5000"),
        ("bytes=4000-9000", &bytes[4000..], "bytes 4000-4999/5000"),
    ] {
        let answer = target.send("GET", &path, &[("range", range)], "").await?;
        answer.is(206)?;
        answer.has("content-range", said)?;
        ensure!(answer.body == expected, "{range}: the bytes differ");
    }
    Ok(())
}

pub(crate) async fn pull_blobs_range_outside_is_416(target: &Target) -> Verdict {
    let repository = Target::repository();
    let digest = target.push_blob(&repository, &content(5000)).await?;
    let path = format!("/v2/{repository}/blobs/{digest}");
    let answer = target.send("GET", &path, &[("range", "bytes=5000-9000")], "").await?;
    answer.is(416)?;
    answer.has("content-range", "bytes */5000")
}

pub(crate) async fn pull_blobs_several_ranges_come_in_request_order(target: &Target) -> Verdict {
    let repository = Target::repository();
    let bytes = content(5000);
    let digest = target.push_blob(&repository, &bytes).await?;
    let path = format!("/v2/{repository}/blobs/{digest}");
    let answer = target.send("GET", &path, &[("range", "bytes=3000-3099,0-9,10-19")], "").await?;
    answer.is(206)?;
    let kind = answer.header("content-type")?;
    let boundary =
        kind.strip_prefix("multipart/byteranges; boundary=").ok_or(format!("`{kind}` is no multipart"))?;
    let text = String::from_utf8_lossy(&answer.body);
    let parts: Vec<&str> = text.split(&format!("--{boundary}")).collect();
    ensure!(parts.len() == 5, "{} parts, expected 3", parts.len().saturating_sub(2));
    for (part, (start, end)) in parts[1..4].iter().zip([(3000, 3100), (0, 10), (10, 20)]) {
        let expected = String::from_utf8_lossy(&bytes[start..end]).into_owned();
        ensure!(part.ends_with(&format!("\r\n\r\n{expected}\r\n")), "part {start}-{end} differs");
        let range = format!("bytes {start}-{}/5000", end - 1);
        ensure!(part.contains(&range), "part {start}-{end} does not say `{range}`");
    }
    Ok(())
}

pub(crate) async fn pull_conditional_get_of_known_content_is_304(target: &Target) -> Verdict {
    let repository = Target::repository();
    let image = target.push_image(&repository, "v1").await?;
    for path in [
        format!("/v2/{repository}/blobs/{}", image.layer),
        format!("/v2/{repository}/manifests/{}", image.digest),
    ] {
        let etag = target.get(&path).await?.header("etag")?.to_owned();
        let answer = target.send("GET", &path, &[("if-none-match", &etag)], "").await?;
        answer.is(304)?;
        ensure!(answer.body.is_empty(), "a 304 has a body");
    }
    Ok(())
}
