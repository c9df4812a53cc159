//! URLs as messages show them: without user, password, query and fragment, since each of these may be a secret.

use url::Url;

/// A URL for errors, logs and events: scheme, host, port and path. Presigned URLs keep their secret in the query.
#[must_use]
pub fn shown_url(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) if url.has_host() => shown(&url),
        _ => cut(text),
    }
}

/// The same for a URL that is parsed already.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// What is no URL may still hold a password.
fn cut(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let mark = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{mark}{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d3_a_shown_url_has_no_user_password_query_or_fragment() {
        for (url, expected) in [
            ("https://user:secret@a.example/b?X-Amz-Signature=secret#secret", "https://a.example/b"),
            ("http://secret@a.example:81", "http://a.example:81/"),
            ("https://user:sec@ret@a.example/b", "https://a.example/b"),
            ("https://user:secret@[broken/b?secret", "https://[broken/b"),
            ("user:secret@a.example/b?secret", "a.example/b"),
            ("a.example/b", "a.example/b"),
        ] {
            let shown = shown_url(url);
            assert!(!shown.contains("secret"), "{shown}");
            assert_eq!(shown, expected);
        }
    }
}
