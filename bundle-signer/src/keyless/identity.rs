//! Who is to have signed: a subject, and who vouches for it.

use std::fmt;

use regex::{Regex, RegexBuilder};

use super::{Error, Result};

const MAX_LEN: usize = 2048;
/// Bytes that a compiled pattern may take; patterns come from a policy that a person wrote.
const MAX_COMPILED: usize = 1024 * 1024;

/// A signer by the certificate's subject, as a whole or by pattern, and by the issuer that vouched for it.
///
/// A subject alone says nothing: any issuer that an authority trusts may vouch for any text, so both are needed.
#[derive(Clone, Debug)]
pub struct Identity {
    subject: Subject,
    issuer: String,
}

#[derive(Clone, Debug)]
enum Subject {
    Exact(String),
    Pattern { text: String, whole: Regex },
}

impl Identity {
    /// Exactly this subject: an email address, or the URI of a workflow.
    ///
    /// # Errors
    /// When either is empty or too long.
    pub fn exact(subject: &str, issuer: &str) -> Result<Self> {
        check(subject, issuer)?;
        Ok(Self { subject: Subject::Exact(subject.to_owned()), issuer: issuer.to_owned() })
    }

    /// Every subject that this regular expression matches **as a whole**. Cosign's `--certificate-identity-regexp`
    /// accepts a match anywhere, so that `github.com/org/` there also matches `https://evil.example/github.com/org/`.
    ///
    /// # Errors
    /// When either is empty or too long, or the pattern is no regular expression or compiles to a large one.
    pub fn pattern(subject: &str, issuer: &str) -> Result<Self> {
        check(subject, issuer)?;
        // Alone first: `a)|(b` is only an expression when something is put around it.
        compile(subject)?;
        let whole = compile(&format!(r"\A(?:{subject})\z"))?;
        Ok(Self { subject: Subject::Pattern { text: subject.to_owned(), whole }, issuer: issuer.to_owned() })
    }

    /// The subject or its pattern.
    #[must_use]
    pub fn subject(&self) -> &str {
        match &self.subject {
            Subject::Exact(text) | Subject::Pattern { text, .. } => text,
        }
    }

    /// The issuer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether a certificate's subject and issuer are these.
    pub(super) fn admit(&self, subject: &str, issuer: &str) -> Result<()> {
        let matches = match &self.subject {
            Subject::Exact(text) => text == subject,
            Subject::Pattern { whole, .. } => whole.is_match(subject),
        };
        if !matches {
            let expected = self.subject().to_owned();
            return Err(Error::Subject { found: subject.to_owned(), expected });
        }
        if issuer != self.issuer {
            return Err(Error::Issuer { found: issuer.to_owned(), expected: self.issuer.clone() });
        }
        Ok(())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.subject {
            Subject::Exact(_) => "",
            Subject::Pattern { .. } => "pattern ",
        };
        write!(f, "{kind}`{}` by `{}`", self.subject(), self.issuer)
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
