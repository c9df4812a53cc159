//! "Content Discovery": tags and referrers.

use oci::Digest;
use serde_json::{Value, json};

use crate::harness::{Answer, IMAGE, INDEX, Pushed, Target, Verdict, absent, content, ensure, unique};

async fn tags(target: &Target, repository: &str, query: &str) -> Result<(Answer, Vec<String>), String> {
    let answer = target.get(&format!("/v2/{repository}/tags/list{query}")).await?;
    answer.is(200)?;
    let body = answer.json()?;
    ensure!(body["name"] == repository, "`name` is {}", body["name"]);
    let tags = body["tags"].as_array().ok_or("`tags` is no list")?;
    let tags = tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect();
    Ok((answer, tags))
}

/// A repository with four tags, pushed out of order.
async fn tagged(target: &Target) -> Result<String, String> {
    let repository = Target::repository();
    let image = target.push_image(&repository, "v10").await?;
    for tag in ["b", "V2", "a"] {
        target.put_manifest(&repository, tag, IMAGE, &image.bytes).await?.is(201)?;
    }
    Ok(repository)
}

pub(crate) async fn discovery_tags_list_is_200_in_lexical_order(target: &Target) -> Verdict {
    let repository = tagged(target).await?;
    let (_, tags) = tags(target, &repository, "").await?;
    ensure!(tags == ["V2", "a", "b", "v10"], "{tags:?}");
    Ok(())
}

pub(crate) async fn discovery_tags_n_limits_the_list(target: &Target) -> Verdict {
    let repository = tagged(target).await?;
    let (_, two) = tags(target, &repository, "?n=2").await?;
    ensure!(two == ["V2", "a"], "{two:?}");
    let (answer, all) = tags(target, &repository, "?n=9").await?;
    ensure!(all.len() == 4 && !answer.headers.contains_key("link"), "{all:?}");
    Ok(())
}

pub(crate) async fn discovery_tags_n_of_zero_is_an_empty_list_without_link(target: &Target) -> Verdict {
    let repository = tagged(target).await?;
    let (answer, none) = tags(target, &repository, "?n=0").await?;
    ensure!(none.is_empty(), "{none:?}");
    ensure!(!answer.headers.contains_key("link"), "there is a `Link`");
    Ok(())
}

pub(crate) async fn discovery_tags_last_is_exclusive_and_need_not_exist(target: &Target) -> Verdict {
    let repository = tagged(target).await?;
    let (_, after) = tags(target, &repository, "?n=10&last=a").await?;
    ensure!(after == ["b", "v10"], "{after:?}");
    let (_, after) = tags(target, &repository, "?last=aa").await?;
    ensure!(after == ["b", "v10"], "{after:?}");
    let (_, after) = tags(target, &repository, "?n=1&last=zzz").await?;
    ensure!(after.is_empty(), "{after:?}");
    Ok(())
}

pub(crate) async fn discovery_tags_link_leads_to_the_next_page(target: &Target) -> Verdict {
    let repository = tagged(target).await?;
    let mut query = "?n=3".to_owned();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let (answer, page) = tags(target, &repository, &query).await?;
        seen.extend(page);
        let Some(link) = answer.headers.get("link") else { break };
        ensure!(link.contains("rel=\"next\""), "`{link}` is not a next page");
        let next = link.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        let (next, _) = next.ok_or("no target in `Link`")?;
        let (_, parameters) = next.split_once('?').ok_or("no query in `Link`")?;
        query = format!("?{parameters}");
    }
    ensure!(seen == ["V2", "a", "b", "v10"], "{seen:?}");
    Ok(())
}

pub(crate) async fn discovery_tags_of_a_missing_repository_is_404_name_unknown(target: &Target) -> Verdict {
    let answer = target.get(&format!("/v2/{}/tags/list", Target::repository())).await?;
    answer.is(404)?;
    answer.refuses_with("NAME_UNKNOWN")
}

pub(crate) async fn discovery_catalog_lists_repositories(target: &Target) -> Verdict {
    let repository = tagged(target).await?;
    // Byte order: everything after the name without its last digit begins with it or comes later.
    let answer =
        target.get(&format!("/v2/_catalog?n=1000&last={}", &repository[..repository.len() - 1])).await?;
    answer.is(200)?;
    let body = answer.json()?;
    let names = body["repositories"].as_array().ok_or("no `repositories`")?;
    ensure!(names.iter().any(|name| name == repository.as_str()), "{repository} is not in {body}");
    Ok(())
}

/// Two referrers of one image: their types are told by `artifactType` and by the configuration.
async fn referred(target: &Target) -> Result<(String, Pushed, Pushed, Pushed), String> {
    let repository = Target::repository();
    let subject = target.push_image(&repository, "v1").await?;
    let descriptor =
        json!({ "mediaType": IMAGE, "digest": subject.digest.to_string(), "size": subject.bytes.len() });
    let plain = target.push_image_with(&repository, "", &json!({ "subject": descriptor })).await?;
    let typed = json!({
        "subject": descriptor,
        "artifactType": "application/vnd.example.sbom+json",
        "annotations": { "org.example.key": "value" },
    });
    let typed = target.push_image_with(&repository, "", &typed).await?;
    Ok((repository, subject, plain, typed))
}

async fn referrers(
    target: &Target,
    repository: &str,
    subject: &str,
    query: &str,
) -> Result<(Answer, Vec<Value>), String> {
    let answer = target.get(&format!("/v2/{repository}/referrers/{subject}{query}")).await?;
    answer.is(200)?;
    answer.has("content-type", INDEX)?;
    let body = answer.json()?;
    ensure!(body["schemaVersion"] == 2 && body["mediaType"] == INDEX, "the body is no image index");
    let list = body["manifests"].as_array().ok_or("`manifests` is no list")?.clone();
    Ok((answer, list))
}

pub(crate) async fn discovery_referrers_is_200_with_all_of_them(target: &Target) -> Verdict {
    let (repository, subject, plain, typed) = referred(target).await?;
    let (_, list) = referrers(target, &repository, &subject.digest.to_string(), "").await?;
    ensure!(list.len() == 2, "{} referrers, expected 2", list.len());
    for referrer in [plain, typed] {
        let digest = referrer.digest.to_string();
        let found = list.iter().find(|entry| entry["digest"] == digest.as_str()).ok_or("one is missing")?;
        ensure!(found["mediaType"] == IMAGE && found["size"] == referrer.bytes.len(), "{found}");
    }
    Ok(())
}

pub(crate) async fn discovery_referrers_carry_artifact_type_and_annotations(target: &Target) -> Verdict {
    let (repository, subject, plain, typed) = referred(target).await?;
    let (_, list) = referrers(target, &repository, &subject.digest.to_string(), "").await?;
    let of = |pushed: &Pushed| {
        let digest = pushed.digest.to_string();
        list.iter().find(|entry| entry["digest"] == digest.as_str()).cloned().ok_or("one is missing")
    };
    let (plain, typed) = (of(&plain)?, of(&typed)?);
    ensure!(plain["artifactType"] == "application/vnd.oci.image.config.v1+json", "{plain}");
    ensure!(typed["artifactType"] == "application/vnd.example.sbom+json", "{typed}");
    ensure!(typed["annotations"]["org.example.key"] == "value", "{typed}");
    Ok(())
}

pub(crate) async fn discovery_referrers_filter_is_applied_and_said(target: &Target) -> Verdict {
    let (repository, subject, _, typed) = referred(target).await?;
    let subject = subject.digest.to_string();
    let query = "?artifactType=application%2Fvnd.example.sbom%2Bjson";
    let (answer, list) = referrers(target, &repository, &subject, query).await?;
    answer.has("oci-filters-applied", "artifactType")?;
    ensure!(list.len() == 1 && list[0]["digest"] == typed.digest.to_string().as_str(), "{list:?}");
    let (_, none) = referrers(target, &repository, &subject, "?artifactType=application/none").await?;
    ensure!(none.is_empty(), "{none:?}");
    Ok(())
}

pub(crate) async fn discovery_referrers_of_nothing_is_200_and_empty(target: &Target) -> Verdict {
    let repository = Target::repository();
    target.push_image(&repository, "v1").await?;
    let unknown = Digest::sha256(unique("nothing").as_bytes()).to_string();
    for repository in [repository, Target::repository()] {
        let (_, list) = referrers(target, &repository, &unknown, "").await?;
        ensure!(list.is_empty(), "{list:?}");
    }
    Ok(())
}

pub(crate) async fn discovery_referrers_of_a_missing_subject_are_listed(target: &Target) -> Verdict {
    let repository = Target::repository();
    let subject = absent(IMAGE);
    target.push_image_with(&repository, "", &json!({ "subject": subject })).await?;
    let (_, list) =
        referrers(target, &repository, subject["digest"].as_str().unwrap_or_default(), "").await?;
    ensure!(list.len() == 1, "{list:?}");
    Ok(())
}

pub(crate) async fn discovery_referrers_of_an_index_are_listed(target: &Target) -> Verdict {
    let repository = Target::repository();
    let subject = target.push_image(&repository, "v1").await?;
    let index = json!({
        "schemaVersion": 2, "mediaType": INDEX, "manifests": [],
        "artifactType": "application/vnd.example.list",
        "subject": { "mediaType": IMAGE, "digest": subject.digest.to_string(), "size": subject.bytes.len() },
    });
    target.put_manifest(&repository, "list", INDEX, index.to_string().as_bytes()).await?.is(201)?;
    let (_, list) = referrers(target, &repository, &subject.digest.to_string(), "").await?;
    ensure!(list.len() == 1 && list[0]["artifactType"] == "application/vnd.example.list", "{list:?}");
    Ok(())
}

pub(crate) async fn discovery_referrers_of_a_malformed_digest_is_400(target: &Target) -> Verdict {
    let repository = Target::repository();
    target.push_blob(&repository, &content(10)).await?;
    target.get(&format!("/v2/{repository}/referrers/sha256:12")).await?.is(400)
}
