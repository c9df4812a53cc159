//! URLs of files. A URL may contain secrets: a user name and password, or the signature in the query of a presigned URL.
//! Its name is the URL without these, and only the name is ever shown or stored.

use std::fmt;

/// Why a string is not a valid file URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It does not begin with `http://` or `https://`.
    Scheme,
    /// It has no host.
    Host,
    /// It has characters that programs parse in different ways.
    Characters,
    /// It is ambiguous: either a password with a slash, or a port and a path with an `@`.
    At,
}

impl Unusable {
    /// A description of the expected value.
    #[must_use]
    pub const fn expected(self) -> &'static str {
        match self {
            Self::Scheme => "a URL that begins with `https://` or `http://`",
            Self::Host => "a URL with a host after `://`",
            Self::Characters => "a URL without spaces, backslashes and control characters",
            Self::At => "a URL with `%2F` for a slash in the password, or `%40` for an `@` in the path",
        }
    }
}

/// The URL of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct FileUrl {
    whole: String,
    name: String,
    hidden: Hidden,
}

/// The parts of a URL that are used but never shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hidden {
    user: bool,
    query: bool,
}

impl FileUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// When the string is not a valid file URL. The error never contains the string.
    pub fn parse(text: &str) -> Result<Self, Unusable> {
        if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(Unusable::Characters);
        }
        let (scheme, rest) = text.split_once("://").ok_or(Unusable::Scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return Err(Unusable::Scheme);
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        let (user, host) = match authority.rsplit_once('@') {
            Some((_, host)) => (true, host),
            None => (false, authority),
        };
        if !is_host(host) {
            return Err(Unusable::Host);
        }
        let path = after.split(['?', '#']).next().unwrap_or_default();
        // `https://user:12/34@host/` has a password with a slash, but also parses as a port and a path.
        if !user && host.contains(':') && path.contains('@') {
            return Err(Unusable::At);
        }
        let query = after.len() > path.len() && !after[path.len()..].starts_with('#');
        let whole = format!("{scheme}://{}", &text[text.len() - rest.len()..]);
        let name = format!("{scheme}://{host}{path}");
        Ok(Self { whole, name, hidden: Hidden { user, query } })
    }

    /// The URL without user name, password, query and fragment; only this is shown and stored.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole URL, only for the request.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.whole
    }

    /// The parts that are used for the request, but neither shown nor stored.
    #[must_use]
    pub const fn hidden(&self) -> Option<&'static str> {
        match self.hidden {
            Hidden { user: false, query: false } => None,
            Hidden { user: true, query: false } => Some("user name and password"),
            Hidden { user: false, query: true } => Some("query"),
            Hidden { user: true, query: true } => Some("user name, password and query"),
        }
    }
}

impl fmt::Debug for FileUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl fmt::Display for FileUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl serde::Serialize for FileUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

/// Whether this is a host name or an IP address, with an optional port.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, ""),
    };
    let is_address = host.strip_prefix('[').is_some_and(|host| {
        host.strip_suffix(']')
            .is_some_and(|host| host.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.')))
    });
    let is_name =
        !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    (is_address || is_name) && port.chars().all(|c| c.is_ascii_digit())
}

/// A user's string, which may contain a URL or a reference with a password, with its secrets removed.
#[must_use]
pub fn without_secrets(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    let has_query = rest.contains('?');
    let rest = rest.split('?').next().unwrap_or_default();
    // A digest also follows an `@`. The text before the last other `@` may be a password, including its slashes.
    let digest = rest.rfind("@sha256:").or_else(|| rest.rfind("@sha512:")).unwrap_or(rest.len());
    let (named, digest) = rest.split_at(digest);
    let shown = match named.rsplit_once('@') {
        Some((_, after)) => format!("{scheme}***@{after}{digest}"),
        None => format!("{scheme}{named}{digest}"),
    };
    if has_query { shown + "?***" } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d3_a_url_is_shown_without_secrets() {
        for text in [
            "https://user:hunter2@host.example:8443/a/b.tgz?X-Amz-Signature=hunter2#hunter2",
            "HTTPS://hunter2@host.example:8443/a/b.tgz#hunter2",
            "https://user:p@hunter2@host.example:8443/a/b.tgz?hunter2",
        ] {
            let url = FileUrl::parse(text).unwrap();
            assert_eq!(url.name(), "https://host.example:8443/a/b.tgz");
            let shown = format!("{url} {url:?} {}", serde_json::to_string(&url).unwrap());
            assert!(!shown.contains("hunter2") && url.secret().contains("hunter2"), "{shown}");
            assert!(url.hidden().is_some() || text.starts_with("HTTPS"), "{text}");
        }
        assert_eq!(FileUrl::parse("https://host.example/a@b/c#x").unwrap().hidden(), None);
    }

    #[test]
    fn d3_ambiguous_urls_are_refused() {
        for text in [
            "host.example/a",
            "ftp://host.example/a",
            "https:user:pw@host.example/a",
            "https:///user:pw@host/a",
            "https://user@/a",
            "https://user:p/w@host.example",
            "https://a\\@host.example/a",
            "https://host example/a",
            "https://host.example/a\tb",
            "https://",
            "https://:80/a",
            "https://user:12/34@host.example/a",
        ] {
            assert!(FileUrl::parse(text).is_err(), "{text}");
        }
        assert!(FileUrl::parse("https://[::1]:8080/a").is_ok());
    }

    #[test]
    fn d3_values_in_errors_have_no_password() {
        for (text, shown) in [
            ("user:hunter2@r.io/a:b", "***@r.io/a:b"),
            ("https://user:hun/ter2@r.io/a?x=hunter2", "https://***@r.io/a?***"),
            ("r.io/a@sha256:00", "r.io/a@sha256:00"),
            ("user:hunter2@r.io/a@sha256:00", "***@r.io/a@sha256:00"),
            ("MyOrg/app", "MyOrg/app"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }
}
