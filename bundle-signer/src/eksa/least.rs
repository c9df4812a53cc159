//! The least version of the controller that a package bundle asks for. AWS's contract leaves it out of every signature, but
//! signs labels. So our own bundles say it a second time in a label, and then it is covered.

use serde_json::Value;

use super::{Manifest, Refusal};
use crate::Result;

/// The label of a bundle that says its `.spec.minControllerVersion`; a `+` is a `_` there, as in tags of charts.
pub const MIN_CONTROLLER_VERSION: &str = "airlock.dev/min-controller-version";
const PATH: &str = ".spec.minControllerVersion";

/// The text of the label for a version; none if no label can say it.
#[must_use]
pub fn label(version: &str) -> Option<String> {
    const MOST: usize = 63;
    let text = version.replace('+', "_");
    let outer = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let bytes = text.as_bytes();
    let is_label = outer(bytes.first().copied())
        && outer(bytes.last().copied())
        && bytes.iter().all(|byte| inner(*byte));
    (is_label && bytes.len() <= MOST).then_some(text)
}

/// Holds a verified bundle to its label.
///
/// # Errors
/// The bundle asks for another version than was signed.
pub(super) fn held(mut manifest: Manifest) -> Result<Manifest> {
    let labels = manifest.signed.get().object().pointer("/metadata/labels");
    let signed = labels.and_then(|labels| labels.get(MIN_CONTROLLER_VERSION)?.as_str()).map(str::to_owned);
    let Some(signed) = signed else { return Ok(manifest) };
    let found =
        manifest.whole.pointer("/spec/minControllerVersion").and_then(Value::as_str).unwrap_or_default();
    if label(found).as_deref() != Some(signed.as_str()) {
        return Err(Refusal::Least { found: found.to_owned(), signed }.into());
    }
    manifest.uncovered.retain(|uncovered| uncovered.path() != PATH);
    Ok(manifest)
}
