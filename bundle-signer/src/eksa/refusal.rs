//! The reasons to refuse a manifest of EKS Anywhere.

use error_class::{Class, Classified};

/// The reason why a manifest of EKS Anywhere is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Larger than Kubernetes would accept.
    #[error("the manifest is too large: {0} bytes")]
    TooLarge(usize),
    /// A character other than printable ASCII, which may look like another one or have several encodings.
    #[error("the manifest has a character other than printable ASCII in line {0}")]
    NotAscii(usize),
    /// An escape sequence for such a character, within a string.
    #[error("the manifest has a character other than printable ASCII at `{0}`")]
    Unprintable(String),
    /// The signed part has a line break or a tab.
    #[error("the signed part of the manifest has a line break or a tab at `{0}`")]
    LineBreak(String),
    /// An anchor, an alias or a merge key.
    #[error("the manifest has anchors, aliases or merge keys")]
    Anchors,
    /// More than one document, or none.
    #[error("the manifest has {0} documents, expected one")]
    Documents(usize),
    /// Nested too deeply, or too many nodes.
    #[error("the manifest exceeds a limit: {0}")]
    Bound(&'static str),
    /// Not YAML, or a duplicate key.
    #[error("the manifest is not valid YAML, or has a duplicate key")]
    Yaml(#[source] gostd::yaml::Error),
    /// YAML by the rules of one parser, but not of another one.
    #[error("the manifest is ambiguous YAML, which parsers read differently")]
    AmbiguousYaml,
    /// Another kind of object.
    #[error("the manifest has {field} `{}`, expected `{expected}`", found.escape_debug())]
    Kind {
        /// The field.
        field: &'static str,
        /// Its value; empty when it is not a string.
        found: String,
        /// The expected value.
        expected: &'static str,
    },
    /// A value of the wrong type.
    #[error("the manifest has a value of the wrong type at `{at}`, expected {expected}")]
    Type {
        /// The path of the value.
        at: String,
        /// The expected type.
        expected: &'static str,
    },
    /// A key that Go reads as another one, because it ignores case.
    #[error("the manifest has the key `{found}`, which some parsers read as `{expected}`")]
    KeyCase {
        /// The path of the key.
        found: String,
        /// The name that it resembles.
        expected: &'static str,
    },
    /// The manifest to sign has a key that its kind does not have.
    #[error("the manifest has the unknown key `{0}`, which no signature would cover")]
    UnknownKey(String),
    /// The list of selectors is not base64 of text.
    #[error("the annotation `{0}` is not a base64-encoded list of selectors")]
    Excludes(&'static str),
    /// A selector that is not a plain path.
    #[error("the selector `{}` is not a path such as `.spec.packages[].source.registry`", .0.escape_debug())]
    Selector(String),
    /// A selector that does not match the manifest.
    #[error("the selector `{selector}` does not match the manifest at `{at}`")]
    SelectorMismatch {
        /// The selector.
        selector: String,
        /// The path at which it cannot match.
        at: String,
    },
    /// Selectors that match too many values.
    #[error("the selectors match more than {0} values")]
    TooManyMatches(usize),
    /// No signature.
    #[error("the manifest has no signature: the annotation `{0}` is missing or empty")]
    MissingSignature(String),
    /// A signature that is not base64.
    #[error("the annotation `{0}` is not a base64-encoded signature")]
    SignatureText(String),
    /// More signatures than are verified.
    #[error("the manifest has more than {0} signatures")]
    TooManySignatures(usize),
    /// The signatures by keys of the trust file do not suffice.
    #[error("the trust file does not accept the manifest's signatures: {reasons}")]
    NotAccepted {
        /// The name of such manifests in trust files.
        content: String,
        /// The reasons.
        reasons: String,
    },
    /// Signed with the test key whose private key is published in the controller's repository.
    #[error(
        "the manifest is signed with the public test key of EKS Anywhere, or the trust file contains that key"
    )]
    TestKey,
    /// The minimum version of the controller is not the signed one.
    #[error(
        "the manifest's `.spec.minControllerVersion` is `{}`, but its signed label says `{}`",
        found.escape_debug(), signed.escape_debug()
    )]
    MinControllerVersion {
        /// The version in the manifest.
        found: String,
        /// The signed version.
        signed: String,
    },
    /// No trusted key made the signature.
    #[error("no trusted key signed this manifest, whose digest is sha256:{0}")]
    BadSignature(String),
}

impl Refusal {
    /// How to fix the error, if known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TestKey => Some(
                "get the manifest from AWS, or sign it with your own key: anyone can sign with the test key",
            ),
            Self::BadSignature(_) => Some(
                "get the manifest again from its source: it was changed after it was signed, or its signer is not in the trust file",
            ),
            Self::NotAccepted { .. } => Some(
                "give the key a role in the trust file, for example `roles: [{sign: [packageBundle]}]`, or have the other signers sign, too: `airlock sign bundle --add`",
            ),
            Self::MissingSignature(_) => Some("sign your own package bundles with `airlock sign bundle`"),
            Self::Anchors => Some("replace anchors, aliases and merge keys with their values"),
            _ => None,
        }
    }
}

impl Classified for Refusal {
    fn class(&self) -> Class {
        match self {
            Self::TooLarge(_)
            | Self::NotAscii(_)
            | Self::Unprintable(_)
            | Self::LineBreak(_)
            | Self::Anchors
            | Self::Documents(_)
            | Self::Bound(_)
            | Self::Yaml(_)
            | Self::AmbiguousYaml
            | Self::Kind { .. }
            | Self::Type { .. }
            | Self::KeyCase { .. }
            | Self::UnknownKey(_)
            | Self::Excludes(_)
            | Self::Selector(_)
            | Self::SelectorMismatch { .. }
            | Self::TooManyMatches(_)
            | Self::MissingSignature(_)
            | Self::SignatureText(_)
            | Self::TooManySignatures(_)
            | Self::NotAccepted { .. }
            | Self::TestKey
            | Self::MinControllerVersion { .. }
            | Self::BadSignature(_) => Class::Refused,
        }
    }
}
