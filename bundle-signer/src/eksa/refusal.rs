//! Why a manifest of EKS Anywhere is refused.

use error_class::{Class, Classified};

/// Why a manifest of EKS Anywhere is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Larger than Kubernetes would take.
    #[error("the manifest has {0} bytes, more than any needs")]
    TooLarge(usize),
    /// Something other than printable ASCII, which looks alike and is not, or is written in more than one way.
    #[error("the manifest has something other than printable ASCII in line {0}")]
    NotAscii(usize),
    /// The same within a string, by an escape.
    #[error("the manifest has something other than printable ASCII at `{0}`")]
    Unprintable(String),
    /// The signed text has a line break or a tab.
    #[error("the manifest has a line break or a tab in what is signed, at `{0}`")]
    LineBreak(String),
    /// An anchor, an alias or a merge key.
    #[error("the manifest has anchors, aliases or merge keys")]
    Anchors,
    /// More than one document, or none.
    #[error("the manifest has {0} documents, expected one")]
    Documents(usize),
    /// Nested too deeply, or of too many nodes.
    #[error("the manifest is larger than its kind can be: {0}")]
    Bound(&'static str),
    /// Not YAML, or a key twice.
    #[error("the manifest is not YAML with every key once")]
    Yaml(#[source] gostd::yaml::Error),
    /// YAML by one reader's rules but not by the other's.
    #[error("the manifest is not YAML that all read alike")]
    AmbiguousYaml,
    /// Another kind of object.
    #[error("the manifest has {field} `{}`, expected `{expected}`", found.escape_debug())]
    Kind {
        /// Which member.
        field: &'static str,
        /// What it says; empty when it is no text.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// A value of another type than its kind has there.
    #[error("the manifest has at `{at}` something other than {expected}")]
    Type {
        /// Where.
        at: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// A key that Go reads as another, by ignoring case.
    #[error("the manifest has the key `{found}`, which some read as `{expected}`")]
    KeyCase {
        /// The key with its place.
        found: String,
        /// The name that it resembles.
        expected: &'static str,
    },
    /// What is to be signed has a key that its kind does not have.
    #[error("the manifest has the unknown key `{0}`, which no signature would cover")]
    UnknownKey(String),
    /// The list of excluded paths is not base64 of text.
    #[error("the annotation `{0}` is not base64 of a list of selectors")]
    Excludes(&'static str),
    /// A selector that is no plain path.
    #[error("the selector `{}` is not a path such as `.spec.packages[].source.registry`", .0.escape_debug())]
    Selector(String),
    /// A selector that does not fit the manifest.
    #[error("the selector `{selector}` does not fit the manifest at `{at}`")]
    SelectorMismatch {
        /// The selector.
        selector: String,
        /// Where it asks for what cannot be there.
        at: String,
    },
    /// Selectors that come to too many places.
    #[error("the selectors name more than {0} places")]
    Places(usize),
    /// No signature.
    #[error("the manifest has no signature: the annotation `{0}` is missing or empty")]
    MissingSignature(String),
    /// A signature that is not base64.
    #[error("the annotation `{0}` is not base64 of a signature")]
    SignatureText(String),
    /// More signatures than are looked at.
    #[error("the manifest has more than {0} signatures")]
    Signatures(usize),
    /// Signed by keys of the trust file that do not suffice.
    #[error("the trust file does not accept the manifest's signatures: {why}")]
    NotAccepted {
        /// What trust files call such a manifest.
        what: String,
        /// Why.
        why: String,
    },
    /// Signed with the key whose private half is published in the controller's repository.
    #[error("the manifest's signature is by, or the trust file names, the public test key of EKS Anywhere")]
    TestKey,
    /// The least version of the controller is not the one that was signed.
    #[error(
        "the manifest's `.spec.minControllerVersion` is `{}`, but its signed label says `{}`",
        found.escape_debug(), signed.escape_debug()
    )]
    Least {
        /// What the manifest asks for.
        found: String,
        /// What was signed.
        signed: String,
    },
    /// No trusted key made the signature.
    #[error("no trusted key signed this manifest, whose digest is sha256:{0}")]
    BadSignature(String),
}

impl Refusal {
    /// What to do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TestKey => {
                Some("anyone can sign with that key: get the manifest from AWS, or sign it with your own")
            }
            Self::BadSignature(_) => Some(
                "the manifest was changed after it was signed, or its signer is not in the trust file: get it again from its source",
            ),
            Self::NotAccepted { .. } => Some(
                "give the key the role in the trust file, `roles: [{sign: [packageBundle]}]` for example, or have the others sign, too: `airlock sign bundle --add`",
            ),
            Self::MissingSignature(_) => Some("sign your own package bundles with `airlock sign bundle`"),
            Self::Anchors => Some("write the values out"),
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
            | Self::Places(_)
            | Self::MissingSignature(_)
            | Self::SignatureText(_)
            | Self::Signatures(_)
            | Self::NotAccepted { .. }
            | Self::TestKey
            | Self::Least { .. }
            | Self::BadSignature(_) => Class::Refused,
        }
    }
}
