//! The expected signer: a subject, and the OIDC issuer that authenticated it.

use std::fmt;

use regex::{Regex, RegexBuilder};

use super::{Error, Result};

const MAX_LEN: usize = 2048;
/// The largest compiled pattern, in bytes; patterns come from hand-written policies.
const MAX_COMPILED: usize = 1024 * 1024;

/// A signer, by the certificate's subject and by the issuer that authenticated it, each as exact text or by pattern.
///
/// A subject alone means nothing: any issuer that a CA trusts may issue any subject, so both are required.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    subject: CompiledMatcher,
    issuer: CompiledMatcher,
}

/// Matches the subject or the issuer of a certificate.
#[derive(Clone, Copy, Debug)]
pub enum Matcher<'a> {
    /// Exactly this text.
    Exact(&'a str),
    /// Any text that this regular expression matches **as a whole**. Cosign's `--certificate-identity-regexp` accepts a
    /// match anywhere, so that `github.com/org/` there also matches `https://evil.example/github.com/org/`.
    Pattern(&'a str),
}

#[derive(Clone, Debug)]
enum CompiledMatcher {
    Exact(String),
    Pattern { text: String, whole: Regex },
}

/// Compares the source texts: compiled patterns cannot be compared.
impl PartialEq for CompiledMatcher {
    fn eq(&self, other: &Self) -> bool {
        self.matcher() == other.matcher()
    }
}

impl Eq for CompiledMatcher {}

impl PartialEq for Matcher<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(one), Self::Exact(two)) | (Self::Pattern(one), Self::Pattern(two)) => one == two,
            (Self::Exact(_) | Self::Pattern(_), _) => false,
        }
    }
}

impl Eq for Matcher<'_> {}

impl<'a> Matcher<'a> {
    /// The text or the pattern.
    #[must_use]
    pub fn text(self) -> &'a str {
        match self {
            Self::Exact(text) | Self::Pattern(text) => text,
        }
    }
}

impl<'a> Matcher<'a> {
    /// The part of a pattern in which an unescaped dot of a name, as in `github.com`, matches any character.
    #[must_use]
    pub fn unescaped_dot(self) -> Option<&'a str> {
        let Self::Pattern(text) = self else { return None };
        let name = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        let dots = text.match_indices('.').map(|(at, _)| at);
        let mut unescaped = dots.filter(|at| {
            let before = at.checked_sub(1).and_then(|before| bytes.get(before));
            name(before) && name(bytes.get(at + 1))
        });
        unescaped.next().and_then(|at| text.get(at - 1..at + 2))
    }
}

impl fmt::Display for Matcher<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "`{}`", text.escape_debug()),
            Self::Pattern(text) => write!(f, "pattern `{}`", text.escape_debug()),
        }
    }
}

impl CompiledMatcher {
    fn new(matcher: Matcher<'_>) -> Result<Self> {
        match matcher {
            Matcher::Exact(text) => Ok(Self::Exact(text.to_owned())),
            Matcher::Pattern(text) => {
                // Compile it alone first: `a)|(b` is an expression only with brackets around it.
                compile(text)?;
                let whole = compile(&format!(r"\A(?:{text})\z"))?;
                Ok(Self::Pattern { text: text.to_owned(), whole })
            }
        }
    }

    fn matcher(&self) -> Matcher<'_> {
        match self {
            Self::Exact(text) => Matcher::Exact(text),
            Self::Pattern { text, .. } => Matcher::Pattern(text),
        }
    }

    fn matches(&self, found: &str) -> bool {
        match self {
            Self::Exact(text) => text == found,
            Self::Pattern { whole, .. } => whole.is_match(found),
        }
    }
}

impl Identity {
    /// Creates an identity from matchers for subject and issuer.
    ///
    /// # Errors
    /// When either is empty or too long, or a pattern is not a regular expression or compiles to a large one.
    pub fn new(subject: Matcher<'_>, issuer: Matcher<'_>) -> Result<Self> {
        check(subject.text(), issuer.text())?;
        Ok(Self { subject: CompiledMatcher::new(subject)?, issuer: CompiledMatcher::new(issuer)? })
    }

    /// Exactly this subject: an email address, or the URI of a workflow.
    ///
    /// # Errors
    /// When either is empty or too long.
    pub fn exact(subject: &str, issuer: &str) -> Result<Self> {
        Self::new(Matcher::Exact(subject), Matcher::Exact(issuer))
    }

    /// Every subject that this regular expression matches as a whole.
    ///
    /// # Errors
    /// When either is empty or too long, or the pattern is not a regular expression or compiles to a large one.
    pub fn pattern(subject: &str, issuer: &str) -> Result<Self> {
        Self::new(Matcher::Pattern(subject), Matcher::Exact(issuer))
    }

    /// The subject or its pattern.
    #[must_use]
    pub fn subject(&self) -> Matcher<'_> {
        self.subject.matcher()
    }

    /// The issuer or its pattern.
    #[must_use]
    pub fn issuer(&self) -> Matcher<'_> {
        self.issuer.matcher()
    }

    /// Whether it has exactly one subject and one issuer, without patterns.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        matches!((&self.subject, &self.issuer), (CompiledMatcher::Exact(_), CompiledMatcher::Exact(_)))
    }

    /// Whether this matcher, the one for the subject or for the issuer, matches any name.
    #[must_use]
    pub fn matches_anyone(&self, matcher: Matcher<'_>) -> bool {
        const NAMES: [&str; 3] = ["mallory@anywhere.invalid", "https://anywhere.invalid/a/b@c", "?"];
        let compiled = [&self.subject, &self.issuer].into_iter().filter(|own| own.matcher() == matcher);
        compiled.into_iter().any(|own| NAMES.iter().all(|name| own.matches(name)))
    }

    /// Whether it matches a certificate with this subject and this issuer.
    #[must_use]
    pub fn matches(&self, subject: &str, issuer: &str) -> bool {
        self.subject.matches(subject) && self.issuer.matches(issuer)
    }

    /// Checks that it matches a certificate with this subject and this issuer.
    pub(super) fn check(&self, subject: &str, issuer: &str) -> Result<()> {
        if !self.subject.matches(subject) {
            let expected = self.subject().text().to_owned();
            return Err(Error::Subject { found: subject.to_owned(), expected });
        }
        if !self.issuer.matches(issuer) {
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

/// The index of the first identity that matches a certificate.
pub(super) fn first_match(subject: &str, issuer: &str, identities: &[&Identity]) -> Result<usize> {
    match identities {
        // With one identity, the error names the part that does not match.
        [only] => only.check(subject, issuer).map(|()| 0),
        several => several
            .iter()
            .position(|identity| identity.matches(subject, issuer))
            .ok_or_else(|| Error::UnknownIdentity { subject: subject.to_owned(), issuer: issuer.to_owned() }),
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

    fn accepts(pattern: &str, subject: &str) -> bool {
        Identity::pattern(pattern, ISSUER).unwrap().check(subject, ISSUER).is_ok()
    }

    #[test]
    fn a_pattern_matches_the_whole_subject() {
        let pattern = "https://github\\.com/org/[^/]+/.*";
        assert!(accepts(pattern, "https://github.com/org/repo/.github/workflows/a.yaml@refs/tags/v1"));
        assert!(!accepts(pattern, "https://evil.example/https://github.com/org/repo/a"));
        assert!(!accepts(pattern, "https://github.com/org"));
        // Not only the first branch that matches may match.
        assert!(accepts("a|ab", "ab") && !accepts("a|ab", "abc") && !accepts("a|b", "ab"));
        assert!(!accepts("^a$", "a\n") && !accepts("(?m)^a$", "a\nb") && !accepts("a", "b\na"));
    }

    #[test]
    fn a_pattern_cannot_escape_its_brackets() {
        for pattern in ["a)|(?:.*", "a)|(.*", "(", "a(?x) # comment", "[", "(?<n>a", "a{99999999}", "\\"] {
            let outcome = Identity::pattern(pattern, ISSUER);
            // A pattern that compiles nevertheless must not match another subject.
            assert!(outcome.is_err() || !accepts(pattern, "other"), "{pattern}");
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
    fn an_exact_subject_is_not_a_pattern() {
        let identity = Identity::exact("a.b@example.com", ISSUER).unwrap();
        assert!(identity.check("a.b@example.com", ISSUER).is_ok());
        assert!(matches!(identity.check("aXb@example.com", ISSUER), Err(Error::Subject { .. })));
        assert!(matches!(identity.check("A.b@example.com", ISSUER), Err(Error::Subject { .. })));
        assert!(matches!(
            identity.check("a.b@example.com", "https://accounts.example"),
            Err(Error::Issuer { .. })
        ));
    }
}
