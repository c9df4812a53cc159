//! URL references (RFC 3986), parsed and assembled as Go's `net/url` does.

mod escape;
mod host;

pub(crate) use escape::Part;

/// The parts of a URL, unescaped except for the query and the opaque part.
#[derive(Debug, Default, Clone)]
pub(crate) struct Reference {
    pub(crate) scheme: Vec<u8>,
    pub(crate) opaque: Vec<u8>,
    pub(crate) user: Option<User>,
    pub(crate) host: Vec<u8>,
    pub(crate) path: Vec<u8>,
    pub(crate) query: Vec<u8>,
    pub(crate) fragment: Vec<u8>,
}

/// A user name and, if there is a colon, a password.
#[derive(Debug, Clone)]
pub(crate) struct User {
    name: Vec<u8>,
    password: Option<Vec<u8>>,
}

/// A rejected URL, and the reason.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) url: Vec<u8>,
    pub(crate) reason: String,
}

impl Reference {
    /// Go's `url.Parse`.
    ///
    /// # Errors
    /// The text is not a URL reference.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let (before, fragment) = cut(text, b'#');
        let mut url =
            Self::without_fragment(before).map_err(|reason| Refusal { url: before.to_vec(), reason })?;
        url.fragment = escape::unescape(fragment.unwrap_or_default(), Part::Fragment)
            .map_err(|reason| Refusal { url: text.to_vec(), reason })?;
        Ok(url)
    }

    fn without_fragment(text: &[u8]) -> Result<Self, String> {
        if text.iter().any(u8::is_ascii_control) {
            return Err("net/url: invalid control character in URL".into());
        }
        let mut url = Self::default();
        if text == b"*" {
            url.path = text.to_vec();
            return Ok(url);
        }
        let (scheme, rest) = split_scheme(text)?;
        url.scheme = scheme.to_ascii_lowercase();
        let (rest, query) = cut(rest, b'?');
        url.query = query.unwrap_or_default().to_vec();
        if !rest.starts_with(b"/") {
            if !url.scheme.is_empty() {
                url.opaque = rest.to_vec();
                return Ok(url);
            }
            if cut(rest, b'/').0.contains(&b':') {
                return Err("first path segment in URL cannot contain colon".into());
            }
        }
        let mut path = rest;
        if let Some(authority) = rest.strip_prefix(b"//")
            && (!url.scheme.is_empty() || !rest.starts_with(b"///"))
        {
            let end = authority.iter().position(|byte| *byte == b'/').unwrap_or(authority.len());
            let (authority, after) = authority.split_at_checked(end).unwrap_or((authority, b""));
            url.set_authority(authority)?;
            path = after;
        }
        url.path = escape::unescape(path, Part::Path)?;
        Ok(url)
    }

    fn set_authority(&mut self, authority: &[u8]) -> Result<(), String> {
        let Some(at) = authority.iter().rposition(|byte| *byte == b'@') else {
            self.host = host::parse(&self.scheme, authority)?;
            return Ok(());
        };
        let (user, host) = authority.split_at_checked(at).unwrap_or((authority, b""));
        self.host = host::parse(&self.scheme, host.get(1..).unwrap_or_default())?;
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(byte);
        if !user.iter().all(allowed) {
            return Err("net/url: invalid userinfo".into());
        }
        let (name, password) = cut(user, b':');
        self.user = Some(User {
            name: escape::unescape(name, Part::User)?,
            password: password.map(|password| escape::unescape(password, Part::User)).transpose()?,
        });
        Ok(())
    }

    /// The host without its port and brackets.
    pub(crate) fn hostname(&self) -> Vec<u8> {
        let mut host = self.host.as_slice();
        if let Some(colon) = host.iter().rposition(|byte| *byte == b':')
            && host.get(colon + 1..).unwrap_or_default().iter().all(u8::is_ascii_digit)
        {
            host = host.get(..colon).unwrap_or_default();
        }
        let bare = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
        bare.unwrap_or(host).to_vec()
    }

    /// User and password as written in a URL.
    pub(crate) fn user_text(&self) -> Vec<u8> {
        let Some(user) = &self.user else { return Vec::new() };
        let mut text = escape::escape(&user.name, Part::User);
        if let Some(password) = &user.password {
            text.push(b':');
            text.extend(escape::escape(password, Part::User));
        }
        text
    }

    /// Go's `URL.String` for a URL that was assembled from parts.
    pub(crate) fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if !self.scheme.is_empty() {
            text.extend([self.scheme.as_slice(), b":"].concat());
        }
        if self.opaque.is_empty() {
            if !self.host.is_empty()
                || self.user.is_some()
                || !(self.scheme.is_empty() || self.path.is_empty())
            {
                text.extend(b"//");
            }
            if self.user.is_some() {
                text.extend([self.user_text().as_slice(), b"@"].concat());
            }
            text.extend(escape::escape(&self.host, Part::Host));
            let path =
                if self.path == b"*" { self.path.clone() } else { escape::escape(&self.path, Part::Path) };
            if !path.is_empty() && !path.starts_with(b"/") && !self.host.is_empty() {
                text.push(b'/');
            }
            // A colon in the first segment would make it a scheme (RFC 3986, section 4.2).
            if text.is_empty() && cut(&path, b'/').0.contains(&b':') {
                text.extend(b"./");
            }
            text.extend(path);
        } else {
            text.extend(&self.opaque);
        }
        if !self.query.is_empty() {
            text.extend([b"?", self.query.as_slice()].concat());
        }
        if !self.fragment.is_empty() {
            text.extend([b"#", escape::escape(&self.fragment, Part::Fragment).as_slice()].concat());
        }
        text
    }
}

/// The text before the first `byte`, and the text after it if it occurs.
fn cut(text: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|at| *at == byte) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    }
}

fn split_scheme(text: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let of_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let end = text.iter().position(|byte| !of_scheme(byte)).unwrap_or(text.len());
    match text.split_at_checked(end) {
        Some((b"", [b':', ..])) => Err("missing protocol scheme".into()),
        Some((scheme @ [b'A'..=b'Z' | b'a'..=b'z', ..], [b':', rest @ ..])) => Ok((scheme, rest)),
        _ => Ok((b"", text)),
    }
}
