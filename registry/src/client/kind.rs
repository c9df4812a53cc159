//! Manifests of kinds that are known and not supported.

use oci::MediaType;

/// What a manifest is called that its own or the sent media type, or its schema version, shows to be unsupported.
pub(super) fn unsupported(bytes: &[u8], sent_as: Option<&MediaType>) -> Option<&'static str> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        #[serde(default)]
        schema_version: u64,
        media_type: Option<String>,
    }
    let inside = serde_json::from_slice::<Kind>(bytes).ok();
    if inside.as_ref().is_some_and(|inside| inside.schema_version == 1) {
        return Some("a Docker schema 1 manifest");
    }
    let inside = inside.and_then(|inside| inside.media_type?.parse::<MediaType>().ok());
    inside.as_ref().or(sent_as)?.unsupported()
}
