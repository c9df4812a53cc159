//! Who is to have signed: a subject, and who vouches for it.

use std::fmt;

use regex::{Regex, RegexBuilder};

use super::{Error, Result};

const MAX_LEN: usize = 2048;
/// Bytes that a compiled pattern may take; patterns come from a policy that a person wrote.
const MAX_COMPILED: usize = 1024 * 1024;

/// A signer by the certificate's subject and by the issuer that vouched for it, each as a whole or by pattern.
///
/// A subject alone says nothing: any issuer that an authority trusts may vouch for any text, so both are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    subject: Text,
    issuer: Text,
}

/// What a text of a certificate must be.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// Exactly this.
    Exact(&'a str),
    /// Whatever this regular expression matches **as a whole**. Cosign's `--certificate-identity-regexp` accepts a match
    /// anywhere, so that `github.com/org/` there also matches `https://evil.example/github.com/org/`.
    Pattern(&'a str),
}

#[derive(Clone, Debug)]
enum Text {
    Exact(String),
    Pattern { text: String, whole: Regex },
}

/// A compiled pattern is made of its text.
impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.wanted() == other.wanted()
    }
}

impl Eq for Text {}

impl PartialEq for Wanted<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(one), Self::Exact(two)) | (Self::Pattern(one), Self::Pattern(two)) => one == two,
            (Self::Exact(_) | Self::Pattern(_), _) => false,
        }
    }
}

impl Eq for Wanted<'_> {}

impl<'a> Wanted<'a> {
    /// The text or the pattern.
    #[must_use]
    pub fn text(self) -> &'a str {
        match self {
            Self::Exact(text) | Self::Pattern(text) => text,
        }
    }
}

impl<'a> Wanted<'a> {
    /// The place in a pattern where a dot that belongs to a name, as in `github.com`, stands for any character.
    #[must_use]
    pub fn loose_dot(self) -> Option<&'a str> {
        let Self::Pattern(text) = self else { return None };
        let name = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        let dots = text.match_indices('.').map(|(at, _)| at);
        let mut loose = dots.filter(|at| {
            let before = at.checked_sub(1).and_then(|before| bytes.get(before));
            name(before) && name(bytes.get(at + 1))
        });
        loose.next().and_then(|at| text.get(at - 1..at + 2))
    }
}

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "`{}`", text.escape_debug()),
            Self::Pattern(text) => write!(f, "pattern `{}`", text.escape_debug()),
        }
    }
}

impl Text {
    fn new(wanted: Wanted<'_>) -> Result<Self> {
        match wanted {
            Wanted::Exact(text) => Ok(Self::Exact(text.to_owned())),
            Wanted::Pattern(text) => {
                // Alone first: `a)|(b` is only an expression when something is put around it.
                compile(text)?;
                let whole = compile(&format!(r"\A(?:{text})\z"))?;
                Ok(Self::Pattern { text: text.to_owned(), whole })
            }
        }
    }

    fn wanted(&self) -> Wanted<'_> {
        match self {
            Self::Exact(text) => Wanted::Exact(text),
            Self::Pattern { text, .. } => Wanted::Pattern(text),
        }
    }

    fn is(&self, found: &str) -> bool {
        match self {
            Self::Exact(text) => text == found,
            Self::Pattern { whole, .. } => whole.is_match(found),
        }
    }
}

impl Identity {
    /// This subject, vouched for by this issuer.
    ///
    /// # Errors
    /// When either is empty or too long, or a pattern is no regular expression or compiles to a large one.
    pub fn new(subject: Wanted<'_>, issuer: Wanted<'_>) -> Result<Self> {
        check(subject.text(), issuer.text())?;
        Ok(Self { subject: Text::new(subject)?, issuer: Text::new(issuer)? })
    }

    /// Exactly this subject: an email address, or the URI of a workflow.
    ///
    /// # Errors
    /// When either is empty or too long.
    pub fn exact(subject: &str, issuer: &str) -> Result<Self> {
        Self::new(Wanted::Exact(subject), Wanted::Exact(issuer))
    }

    /// Every subject that this regular expression matches as a whole.
    ///
    /// # Errors
    /// When either is empty or too long, or the pattern is no regular expression or compiles to a large one.
    pub fn pattern(subject: &str, issuer: &str) -> Result<Self> {
        Self::new(Wanted::Pattern(subject), Wanted::Exact(issuer))
    }

    /// The subject or its pattern.
    #[must_use]
    pub fn subject(&self) -> Wanted<'_> {
        self.subject.wanted()
    }

    /// The issuer or its pattern.
    #[must_use]
    pub fn issuer(&self) -> Wanted<'_> {
        self.issuer.wanted()
    }

    /// Whether it names one subject and one issuer, and needs no pattern for it.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        matches!((&self.subject, &self.issuer), (Text::Exact(_), Text::Exact(_)))
    }

    /// Whether one of its texts is a pattern that matches whatever anybody could be called.
    #[must_use]
    pub fn is_wide(&self, wanted: Wanted<'_>) -> bool {
        const ANYBODY: [&str; 3] = ["mallory@anywhere.invalid", "https://anywhere.invalid/a/b@c", "?"];
        let texts = [&self.subject, &self.issuer].into_iter().filter(|text| text.wanted() == wanted);
        texts.into_iter().any(|text| ANYBODY.iter().all(|name| text.is(name)))
    }

    /// Whether a certificate with this subject, for which this issuer vouched, is its.
    #[must_use]
    pub fn fits(&self, subject: &str, issuer: &str) -> bool {
        self.subject.is(subject) && self.issuer.is(issuer)
    }

    /// Whether a certificate's subject and issuer are these.
    pub(super) fn admit(&self, subject: &str, issuer: &str) -> Result<()> {
        if !self.subject.is(subject) {
            let expected = self.subject().text().to_owned();
            return Err(Error::Subject { found: subject.to_owned(), expected });
        }
        if !self.issuer.is(issuer) {
            let expected = self.issuer().text().to_owned();
            return Err(Error::Issuer { found: issuer.to_owned(), expected });
        }
        Ok(())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.subject(), self.issuer())
    }
}

/// The first identity that a certificate is of.
pub(super) fn whose(subject: &str, issuer: &str, identities: &[&Identity]) -> Result<usize> {
    match identities {
        // The only one: what does not fit is told.
        [only] => only.admit(subject, issuer).map(|()| 0),
        several => several
            .iter()
            .position(|identity| identity.fits(subject, issuer))
            .ok_or_else(|| Error::Stranger { subject: subject.to_owned(), issuer: issuer.to_owned() }),
    }
}

fn check(subject: &str, issuer: &str) -> Result<()> {
    if subject.is_empty() || issuer.is_empty() {
        return Err(Error::IdentityEmpty);
    }
    match subject.len() + issuer.len() {
        len if len > MAX_LEN => Err(Error::IdentityTooLarge(len)),
        _ => Ok(()),
    }
}

fn compile(pattern: &str) -> Result<Regex> {
    RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED)
        .nest_limit(32)
        .build()
        .map_err(|error| Error::Pattern(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://token.actions.githubusercontent.com";

    fn admits(pattern: &str, subject: &str) -> bool {
        Identity::pattern(pattern, ISSUER).unwrap().admit(subject, ISSUER).is_ok()
    }

    #[test]
    fn a_pattern_matches_the_whole_subject() {
        let pattern = "https://github\\.com/org/[^/]+/.*";
        assert!(admits(pattern, "https://github.com/org/repo/.github/workflows/a.yaml@refs/tags/v1"));
        assert!(!admits(pattern, "https://evil.example/https://github.com/org/repo/a"));
        assert!(!admits(pattern, "https://github.com/org"));
        // The first branch that matches is not the only one that may.
        assert!(admits("a|ab", "ab") && !admits("a|ab", "abc") && !admits("a|b", "ab"));
        assert!(!admits("^a$", "a\n") && !admits("(?m)^a$", "a\nb") && !admits("a", "b\na"));
    }

    #[test]
    fn a_pattern_cannot_leave_its_brackets() {
        for pattern in ["a)|(?:.*", "a)|(.*", "(", "a(?x) # comment", "[", "(?<n>a", "a{99999999}", "\\"] {
            let outcome = Identity::pattern(pattern, ISSUER);
            // What compiles all the same must still not match another subject.
            assert!(outcome.is_err() || !admits(pattern, "other"), "{pattern}");
        }
        assert!(matches!(Identity::pattern("(?:a{1000}){1000}", ISSUER), Err(Error::Pattern(_))));
        assert!(matches!(Identity::pattern(&"a".repeat(MAX_LEN), ISSUER), Err(Error::IdentityTooLarge(_))));
    }

    #[test]
    fn half_an_identity_is_refused() {
        assert!(matches!(Identity::exact("", ISSUER), Err(Error::IdentityEmpty)));
        assert!(matches!(Identity::exact("a@example.com", ""), Err(Error::IdentityEmpty)));
        assert!(matches!(Identity::pattern("", ISSUER), Err(Error::IdentityEmpty)));
    }

    #[test]
    fn an_exact_subject_is_no_pattern() {
        let identity = Identity::exact("a.b@example.com", ISSUER).unwrap();
        assert!(identity.admit("a.b@example.com", ISSUER).is_ok());
        assert!(matches!(identity.admit("aXb@example.com", ISSUER), Err(Error::Subject { .. })));
        assert!(matches!(identity.admit("A.b@example.com", ISSUER), Err(Error::Subject { .. })));
        assert!(matches!(
            identity.admit("a.b@example.com", "https://accounts.example"),
            Err(Error::Issuer { .. })
        ));
    }
}
