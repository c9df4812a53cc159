//! The rules of Kubernetes for the names of objects, and its messages for invalid names.

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
    and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const HOST: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
    character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is \
    '[a-z]([-a-z0-9]*[a-z0-9])?')";

/// The violations of the naming rules for an object of `kind` (`validateMetadataNameFunc` of Helm).
pub(super) fn violations(kind: &str, name: &str) -> Vec<String> {
    match kind.to_ascii_lowercase().as_str() {
        "service" => of(name, 63, HOST, is_part(name) && name.starts_with(|c: char| c.is_ascii_lowercase())),
        "namespace" => of(name, 63, LABEL, is_part(name)),
        "role" | "clusterrole" | "rolebinding" | "clusterrolebinding" => segment(name),
        "certificatesigningrequest" => Vec::new(),
        _ => of(name, 253, SUBDOMAIN, name.split('.').all(is_part)),
    }
}

fn of(name: &str, max_length: usize, rule: &str, fits: bool) -> Vec<String> {
    let long = (name.len() > max_length).then(|| format!("must be no more than {max_length} bytes"));
    long.into_iter().chain((!fits).then(|| rule.to_owned())).collect()
}

/// The rules for a path segment.
fn segment(name: &str) -> Vec<String> {
    if matches!(name, "." | "..") {
        return vec![format!("may not be '{name}'")];
    }
    let within = ["/", "%"].into_iter().filter(|part| name.contains(part));
    within.map(|part| format!("may not contain '{part}'")).collect()
}

/// Whether the part consists of lowercase letters, digits and `-`, with a letter or digit at both ends.
fn is_part(part: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(is_alphanumeric)
        && part.ends_with(is_alphanumeric)
        && part.chars().all(|c| is_alphanumeric(c) || c == '-')
}
