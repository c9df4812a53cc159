//! Which names Kubernetes takes for objects of a kind.

/// Whether an object of `kind` may have this name (`validateMetadataNameFunc` of Helm).
pub(super) fn is_fit(kind: &str, name: &str) -> bool {
    match kind.to_ascii_lowercase().as_str() {
        "service" => is_label(name) && name.starts_with(|c: char| c.is_ascii_lowercase()),
        "namespace" => is_label(name),
        "role" | "clusterrole" | "rolebinding" | "clusterrolebinding" => {
            !name.is_empty() && !matches!(name, "." | "..") && !name.contains(['/', '%'])
        }
        "certificatesigningrequest" => true,
        _ => name.len() <= 253 && name.split('.').all(is_part),
    }
}

fn is_label(name: &str) -> bool {
    name.len() <= 63 && is_part(name)
}

/// Lower-case letters, digits and `-`, a letter or digit at both ends.
fn is_part(part: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(is_alphanumeric)
        && part.ends_with(is_alphanumeric)
        && part.chars().all(|c| is_alphanumeric(c) || c == '-')
}
