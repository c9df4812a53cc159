//! The minimum version of the controller that a package bundle requires. AWS's contract leaves it out of every signature,
//! but signs labels. So our own bundles repeat it in a label, where it is covered.

use serde_json::Value;

use super::{Manifest, Refusal};
use crate::Result;

/// The label that repeats `.spec.minControllerVersion` of a bundle; a `+` becomes a `_`, as in tags of charts.
pub const MIN_CONTROLLER_VERSION: &str = "airlock.dev/min-controller-version";
const PATH: &str = ".spec.minControllerVersion";

/// The value of the label for a version; none if it is not a valid label value.
#[must_use]
pub fn label(version: &str) -> Option<String> {
    const MAX_LEN: usize = 63;
    let text = version.replace('+', "_");
    let outer = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let bytes = text.as_bytes();
    let is_label = outer(bytes.first().copied())
        && outer(bytes.last().copied())
        && bytes.iter().all(|byte| inner(*byte));
    (is_label && bytes.len() <= MAX_LEN).then_some(text)
}

/// Checks the version of a verified bundle against its label.
///
/// # Errors
/// When the bundle requires another version than was signed.
pub(super) fn check_label(mut manifest: Manifest) -> Result<Manifest> {
    let labels = manifest.signed.get().object().pointer("/metadata/labels");
    let signed = labels.and_then(|labels| labels.get(MIN_CONTROLLER_VERSION)?.as_str()).map(str::to_owned);
    let Some(signed) = signed else { return Ok(manifest) };
    let found =
        manifest.whole.pointer("/spec/minControllerVersion").and_then(Value::as_str).unwrap_or_default();
    if label(found).as_deref() != Some(signed.as_str()) {
        return Err(Refusal::MinControllerVersion { found: found.to_owned(), signed }.into());
    }
    manifest.uncovered.retain(|uncovered| uncovered.path() != PATH);
    Ok(manifest)
}
