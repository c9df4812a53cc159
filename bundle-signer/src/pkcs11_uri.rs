//! `pkcs11:` URIs (RFC 7512), which identify a key in a token. Unsupported attributes are refused.

use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::{Error, Result};

const SCHEME: &str = "pkcs11:";
/// No name in PKCS#11 is longer than 32 bytes; paths are.
const MAX_LEN: usize = 4096;

/// Identifies a key, its token, and the module to access them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pkcs11Uri {
    pub(crate) token: Option<String>,
    pub(crate) serial: Option<String>,
    pub(crate) object: Option<String>,
    pub(crate) id: Option<Vec<u8>>,
    module: Option<PathBuf>,
    pin_file: Option<PathBuf>,
}

impl Pkcs11Uri {
    /// Whether a text has the `pkcs11:` scheme.
    #[must_use]
    pub fn has_scheme(text: &str) -> bool {
        text.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
    }

    /// Parses a URI. Errors never contain a value, which may be a PIN.
    ///
    /// # Errors
    /// [`Error::PinInUri`] for `pin-value`, [`Error::Pkcs11Uri`] for all other defects.
    pub fn parse(text: &str) -> Result<Self> {
        let rest = Self::has_scheme(text).then(|| &text[SCHEME.len()..]);
        let rest = rest
            .filter(|_| text.len() <= MAX_LEN)
            .ok_or(Error::Pkcs11Uri("it has another scheme, or is longer than 4096 bytes"))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = path.split(';').filter(|part| !part.is_empty());
        let query = query.split('&').filter(|part| !part.is_empty());
        let attributes = path.map(|part| (part, false)).chain(query.map(|part| (part, true)));
        let mut uri = Self::default();
        for (part, is_query) in attributes {
            let (name, value) = part.split_once('=').ok_or(Error::Pkcs11Uri("an attribute has no value"))?;
            uri.set(name, is_query, value)?;
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(Error::Pkcs11Uri("no key selected: give `object`, `id` or both"));
        }
        Ok(uri)
    }

    fn set(&mut self, name: &str, is_query: bool, value: &str) -> Result<()> {
        let bytes = decode(value).ok_or(Error::Pkcs11Uri("a value has a malformed percent sign"))?;
        let text = || String::from_utf8(bytes.to_vec()).map_err(|_| Error::Pkcs11Uri("a value is not UTF-8"));
        let twice = match (name, is_query) {
            ("pin-value", _) => return Err(Error::PinInUri),
            ("token", false) => self.token.replace(text()?).is_some(),
            ("serial", false) => self.serial.replace(text()?).is_some(),
            ("object", false) => self.object.replace(text()?).is_some(),
            ("id", false) => self.id.replace(bytes.to_vec()).is_some(),
            ("type", false) if value == "private" => false,
            ("type", false) => return Err(Error::Pkcs11Uri("`type` is not `private`")),
            ("module-path", true) => self.module.replace(file(&text()?)?).is_some(),
            ("pin-source", true) => self.pin_file.replace(file(&text()?)?).is_some(),
            _ => {
                let known = "unsupported attribute: use token, serial, object, id, module-path, pin-source";
                return Err(Error::Pkcs11Uri(known));
            }
        };
        if twice { Err(Error::Pkcs11Uri("duplicate attribute")) } else { Ok(()) }
    }

    /// The file of the module, if the URI contains one.
    #[must_use]
    pub fn module(&self) -> Option<&PathBuf> {
        self.module.as_ref()
    }

    /// The file with the PIN, if the URI contains one.
    #[must_use]
    pub fn pin_file(&self) -> Option<&PathBuf> {
        self.pin_file.as_ref()
    }
}

/// Parses a path or a `file:` URI of this machine.
fn file(text: &str) -> Result<PathBuf> {
    let path = text.strip_prefix("file:").unwrap_or(text);
    let path = path.strip_prefix("//").map_or(path, |path| path.strip_prefix("localhost").unwrap_or(path));
    if path.starts_with('/') {
        Ok(PathBuf::from(path))
    } else {
        Err(Error::Pkcs11Uri(
            "`module-path` and `pin-source` must be absolute paths; commands are not supported",
        ))
    }
}

/// Decodes percent encoding (RFC 3986, section 2.1).
fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>()?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(digit(digits[0])? << 4 | digit(digits[1])?);
        rest = after;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uri_identifies_token_key_module_and_pin_file() {
        let text = "pkcs11:token=Software%20PKCS%2311;object=release;id=%01%aF;type=private?module-path=/usr/lib/a.so&pin-source=file:/run/pin";
        let uri = Pkcs11Uri::parse(text).unwrap();
        assert_eq!(uri.token.as_deref(), Some("Software PKCS#11"));
        assert_eq!((uri.object.as_deref(), uri.id.as_deref()), (Some("release"), Some(&[1, 0xaf][..])));
        assert_eq!(uri.module(), Some(&PathBuf::from("/usr/lib/a.so")));
        assert_eq!(uri.pin_file(), Some(&PathBuf::from("/run/pin")));
        assert!(Pkcs11Uri::has_scheme("PKCS11:object=a") && !Pkcs11Uri::has_scheme("release.key"));
        for (source, path) in [("file:///a", "/a"), ("file://localhost/a", "/a"), ("/a", "/a")] {
            let uri = Pkcs11Uri::parse(&format!("pkcs11:object=a?pin-source={source}")).unwrap();
            assert_eq!(uri.pin_file(), Some(&PathBuf::from(path)), "{source}");
        }
    }

    #[test]
    fn a_pin_in_the_uri_is_refused_and_never_shown() {
        for text in ["pkcs11:object=a?pin-value=hunter2", "pkcs11:pin-value=hunter2;object=a"] {
            let error = Pkcs11Uri::parse(text).unwrap_err();
            assert!(matches!(error, Error::PinInUri));
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn unsupported_uris_are_refused() {
        for text in [
            "pkcs11:",
            "pkcs11:token=a",
            "pkcs11:object",
            "pkcs11:object=%4",
            "pkcs11:object=%zz",
            "pkcs11:object=%ff",
            "pkcs11:object=a;object=b",
            "pkcs11:object=a;type=public",
            "pkcs11:object=a;manufacturer=b",
            "pkcs11:object=a?module-name=b",
            "pkcs11:object=a?module-path=lib.so",
            "pkcs11:object=a?pin-source=|cat%20pin",
            "pkcs11:object=a?pin-source=file://host/pin",
            "pkcs12:object=a",
        ] {
            assert!(matches!(Pkcs11Uri::parse(text), Err(Error::Pkcs11Uri(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(pkcs11:)?[a-z=;?&%0-9\\PC]{0,80}") {
            let _ = Pkcs11Uri::parse(&text);
        }
    }
}
