//! Deprecated API versions of Kubernetes: the kinds, the versions of Kubernetes, and the replacement.
//!
//! Source of `deprecated.txt`: the markers `+k8s:prerelease-lifecycle-gen` of `k8s.io/api` 0.36.

const TABLE: &str = include_str!("deprecated.txt");

/// Kubernetes' warning for the use of the kind, if it is deprecated in version 1.`minor`.
pub(super) fn warning(api_version: &str, kind: &str, minor: &str) -> Option<String> {
    let digits = minor.trim_end_matches(|c: char| !c.is_ascii_digit());
    let minor: u32 = digits.parse().ok()?;
    let of = |row: &&str| {
        let mut parts = row.split('|');
        parts.next() == Some(api_version)
            && parts.next().is_some_and(|kinds| kinds.split(' ').any(|known| known == kind))
    };
    let row = TABLE.lines().find(of)?;
    let [_, _, since, until, instead] = row.split('|').collect::<Vec<_>>().try_into().ok()?;
    if minor < since.parse().ok()? {
        return None;
    }
    // An inaccuracy of Kubernetes itself.
    let kind_instead = if (api_version, kind) == ("networking.k8s.io/v1beta1", "IngressClass") {
        "IngressClassList"
    } else {
        kind
    };
    let instead = if instead.is_empty() { String::new() } else { format!("; use {instead} {kind_instead}") };
    Some(format!("{api_version} {kind} is deprecated in v1.{since}+, unavailable in v1.{until}+{instead}"))
}
