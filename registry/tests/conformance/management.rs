//! "Content Management": deleting tags, manifests and blobs.

use oci::Digest;
use serde_json::json;

use crate::harness::{IMAGE, Target, Verdict, content, ensure, unique};

pub(crate) async fn management_delete_tag_is_202_and_leaves_the_manifest(target: &Target) -> Verdict {
    let repository = Target::repository();
    let image = target.push_image(&repository, "v1").await?;
    target.put_manifest(&repository, "v2", IMAGE, &image.bytes).await?.is(201)?;
    target.delete(&format!("/v2/{repository}/manifests/v1")).await?.is(202)?;
    target.get(&format!("/v2/{repository}/manifests/v1")).await?.is(404)?;
    target.get(&format!("/v2/{repository}/manifests/v2")).await?.is(200)?;
    target.get(&format!("/v2/{repository}/manifests/{}", image.digest)).await?.is(200)
}

pub(crate) async fn management_delete_manifest_is_202_and_takes_its_tags(target: &Target) -> Verdict {
    let repository = Target::repository();
    let image = target.push_image(&repository, "v1").await?;
    target.delete(&format!("/v2/{repository}/manifests/{}", image.digest)).await?.is(202)?;
    for reference in ["v1", &image.digest.to_string()] {
        target.get(&format!("/v2/{repository}/manifests/{reference}")).await?.is(404)?;
        target.head(&format!("/v2/{repository}/manifests/{reference}")).await?.is(404)?;
    }
    Ok(())
}

pub(crate) async fn management_tags_list_reflects_a_deletion(target: &Target) -> Verdict {
    let repository = Target::repository();
    let image = target.push_image(&repository, "v1").await?;
    target.put_manifest(&repository, "v2", IMAGE, &image.bytes).await?.is(201)?;
    target.delete(&format!("/v2/{repository}/manifests/v1")).await?.is(202)?;
    let tags = target.get(&format!("/v2/{repository}/tags/list")).await?.json()?;
    ensure!(tags["tags"] == json!(["v2"]), "{tags}");
    Ok(())
}

pub(crate) async fn management_delete_missing_manifest_is_404(target: &Target) -> Verdict {
    let repository = Target::repository();
    target.push_image(&repository, "v1").await?;
    let digest = Digest::sha256(unique("nothing").as_bytes());
    target.delete(&format!("/v2/{repository}/manifests/{digest}")).await?.is(404)?;
    target.delete(&format!("/v2/{repository}/manifests/absent")).await?.is(404)
}

pub(crate) async fn management_delete_in_a_missing_repository_is_404(target: &Target) -> Verdict {
    let digest = Digest::sha256(unique("nothing").as_bytes());
    target.delete(&format!("/v2/{}/manifests/{digest}", Target::repository())).await?.is(404)
}

pub(crate) async fn management_delete_blob_is_202_and_it_is_gone(target: &Target) -> Verdict {
    let repository = Target::repository();
    let digest = target.push_blob(&repository, &content(10)).await?;
    let path = format!("/v2/{repository}/blobs/{digest}");
    target.delete(&path).await?.is(202)?;
    target.get(&path).await?.is(404)?;
    target.head(&path).await?.is(404)
}

pub(crate) async fn management_delete_missing_blob_is_404(target: &Target) -> Verdict {
    let repository = Target::repository();
    target.push_blob(&repository, &content(10)).await?;
    let digest = Digest::sha256(unique("nothing").as_bytes());
    target.delete(&format!("/v2/{repository}/blobs/{digest}")).await?.is(404)
}

pub(crate) async fn management_delete_blob_that_a_manifest_names_is_405(target: &Target) -> Verdict {
    let repository = Target::repository();
    let image = target.push_image(&repository, "v1").await?;
    target.delete(&format!("/v2/{repository}/blobs/{}", image.layer)).await?.is(405)?;
    target.get(&format!("/v2/{repository}/blobs/{}", image.layer)).await?.is(200)?;
    target.delete(&format!("/v2/{repository}/manifests/{}", image.digest)).await?.is(202)?;
    target.delete(&format!("/v2/{repository}/blobs/{}", image.config)).await?.is(202)
}

pub(crate) async fn management_deleted_referrer_leaves_the_list(target: &Target) -> Verdict {
    let repository = Target::repository();
    let subject = target.push_image(&repository, "v1").await?;
    let descriptor =
        json!({ "mediaType": IMAGE, "digest": subject.digest.to_string(), "size": subject.bytes.len() });
    let referrer = target.push_image_with(&repository, "", &json!({ "subject": descriptor })).await?;
    target.delete(&format!("/v2/{repository}/manifests/{}", referrer.digest)).await?.is(202)?;
    let answer = target.get(&format!("/v2/{repository}/referrers/{}", subject.digest)).await?;
    answer.is(200)?;
    ensure!(answer.json()?["manifests"] == json!([]), "the referrer is still listed");
    Ok(())
}

pub(crate) async fn management_deleted_content_can_be_pushed_again(target: &Target) -> Verdict {
    let repository = Target::repository();
    let bytes = content(10);
    let digest = target.push_blob(&repository, &bytes).await?;
    target.delete(&format!("/v2/{repository}/blobs/{digest}")).await?.is(202)?;
    target.push_blob(&repository, &bytes).await?;
    target.get(&format!("/v2/{repository}/blobs/{digest}")).await?.is(200)
}
