//! What a chart may bring: images that its signed bundle lists, and values that the bundle's schema takes.

use helm::{Limits, yaml};
use oci::Reference;
use package_api::{SourceVersion, VersionImage};
use serde_json::Value;

use crate::brief::few;
use crate::images;

/// Whether all images of a manifest are the bundle's. A digest must be one of its digests. Where a chart names a tag,
/// the repository must be listed; the digest is then the policies' affair, which pin it.
///
/// # Errors
/// What a person should know.
pub(super) fn images(manifest: &str, version: &SourceVersion) -> Result<(), String> {
    let Some(listed) = version.images.as_deref().filter(|listed| !listed.is_empty()) else { return Ok(()) };
    let documents = yaml::documents(manifest, &Limits::default()).map_err(|error| error.to_string())?;
    for document in &documents {
        let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
        let (group, _) = text("apiVersion").split_once('/').unwrap_or_default();
        let used = images::images(group, text("kind"), document).map_err(|error| error.to_string())?;
        for used in used {
            let (kind, name) = (text("kind"), &document["metadata"]["name"]);
            let reference: Reference = used.image.parse().map_err(|_| {
                format!(
                    "the chart's {kind} {name} uses the image `{}`, which is not an image's name; what the chart leaves to be \
                     filled in, such as a tag, must stand in the package's config",
                    used.image
                )
            })?;
            // AWS's bundles name repositories without a host; ours with the one that the chart names.
            let path = format!("{}/{}", reference.host(), reference.repository());
            let same = |repository: &str| path == repository || path.ends_with(&format!("/{repository}"));
            let known = match reference.digest() {
                Some(digest) => listed.iter().any(|image| image.digest == digest.to_string()),
                None => listed.iter().any(|image| same(&image.repository)),
            };
            if !known {
                return Err(format!(
                    "the chart's {kind} {name} uses the image {}, which the signed bundle does not list for version {}: it \
                     lists {}",
                    used.image,
                    version.name,
                    told(listed)
                ));
            }
        }
    }
    Ok(())
}

fn told(listed: &[VersionImage]) -> String {
    const MOST: usize = 4;
    few(listed.iter().map(|image| image.repository.clone()), MOST, ", ")
}

#[cfg(test)]
mod tests {

    use super::*;

    const GOOD: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const BAD: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn check(image: &str) -> Result<(), String> {
        let version = SourceVersion {
            name: "1".to_owned(),
            images: Some(vec![VersionImage { repository: "team/app".to_owned(), digest: GOOD.to_owned() }]),
            ..SourceVersion::default()
        };
        let manifest = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s}}\n---\napiVersion: apps/v1\nkind: Deployment\n\
             metadata: {{name: d}}\nspec: {{template: {{spec: {{containers: [{{name: c, image: '{image}'}}]}}}}}}\n"
        );
        images(&manifest, &version)
    }

    #[test]
    fn an_image_by_digest_must_be_one_of_the_bundle_s_wherever_it_is() {
        assert_eq!(check(&format!("registry.site/x/team/app@{GOOD}")), Ok(()));
        assert_eq!(check(&format!("registry.site/x/team/app:1@{GOOD}")), Ok(()));
        let refused = check(&format!("registry.site/x/team/app@{BAD}")).unwrap_err();
        assert!(refused.contains("Deployment \"d\"") && refused.contains(BAD), "{refused}");
        assert!(refused.ends_with("does not list for version 1: it lists team/app"), "{refused}");
    }

    #[test]
    fn an_image_by_tag_must_be_of_a_repository_that_the_bundle_lists() {
        assert_eq!(check("registry.site/team/app:1"), Ok(()));
        assert_eq!(check("team/app:1"), Ok(()));
        for other in ["registry.site/team/other:1", "registry.site/myteam/app:1", "app"] {
            assert!(check(other).is_err(), "{other}");
        }
    }

    #[test]
    fn what_is_left_to_be_filled_in_is_told_with_its_object_and_where_to_fill_it_in() {
        let refused = check("registry.site/team/app:{{app}}").unwrap_err();
        let words = "the chart's Deployment \"d\" uses the image `registry.site/team/app:{{app}}`, which is not an image's";
        assert!(refused.starts_with(words) && refused.ends_with("the package's config"), "{refused}");
    }

    #[test]
    fn a_bundle_that_lists_no_images_says_nothing_about_them() {
        let manifest = "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: c, image: x}]}\n";
        assert_eq!(images(manifest, &SourceVersion::default()), Ok(()));
    }
}
