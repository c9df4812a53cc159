//! The signatures, with their signers and artifacts.

use std::path::{Path, PathBuf};

use bundle_signer::keyless::{Artifact, Evidence, Identity, Rekor, Result, TrustedRoot, verify};
use oci::Digest;
use serde_json::Value;

pub(crate) const GITHUB_ACTIONS: &str = "https://token.actions.githubusercontent.com";
pub(crate) const GITHUB_LOGIN: &str = "https://github.com/login/oauth";
pub(crate) const BEACON: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const A_TXT: &str = "sha256:a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf";

/// The instances of sigstore.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Instance {
    Public,
    Staging,
}

/// The signed artifact: a file in the test data, or only its digest.
#[derive(Clone, Copy)]
pub(crate) enum Signed {
    File(&'static str),
    Digest(&'static str),
}

/// A valid signature.
#[derive(Clone, Copy)]
pub(crate) struct Good {
    pub(crate) bundle: &'static str,
    pub(crate) signed: Signed,
    pub(crate) subject: &'static str,
    pub(crate) issuer: &'static str,
    pub(crate) instance: Instance,
    pub(crate) rekor: Rekor,
    /// Kind and version of the log entry.
    pub(crate) entry: (&'static str, &'static str),
    pub(crate) statement: bool,
}

/// A cosign blob signature: message signature, Rekor v1, and an RFC 3161 timestamp.
pub(crate) const BLOB_V1: Good = Good {
    bundle: "cosign-v3-blob.sigstore.json",
    signed: Signed::File("cosign-v3-blob.txt"),
    subject: "w.vollprecht@gmail.com",
    issuer: GITHUB_LOGIN,
    instance: Instance::Public,
    rekor: Rekor::V1,
    entry: ("hashedrekord", "0.0.1"),
    statement: false,
};

/// An attestation in Rekor v1.
pub(crate) const STATEMENT_V1: Good = Good {
    bundle: "conda-attestation.sigstore.json",
    signed: Signed::File("signed-package-2.1.0-hb0f4dca_0.conda"),
    subject: "https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/heads/main",
    issuer: GITHUB_ACTIONS,
    instance: Instance::Public,
    rekor: Rekor::V1,
    entry: ("dsse", "0.0.1"),
    statement: true,
};

/// An attestation in Rekor v2, of the staging instance; its checkpoint has the signatures of witnesses, too.
pub(crate) const STATEMENT_V2: Good = Good {
    bundle: "conda-attestation-rekor2.sigstore.json",
    subject: "jku@goto.fi",
    issuer: GITHUB_LOGIN,
    instance: Instance::Staging,
    rekor: Rekor::V2,
    entry: ("hashedrekord", "0.0.2"),
    ..STATEMENT_V1
};

/// A blob signature in Rekor v2.
pub(crate) const BLOB_V2: Good = Good {
    bundle: "staging-rekor-v2.txt.sigstore.json",
    signed: Signed::File("staging-rekor-v2.txt"),
    statement: false,
    ..STATEMENT_V2
};

pub(crate) const GOOD: [Good; 8] = [
    BLOB_V1,
    STATEMENT_V1,
    STATEMENT_V2,
    BLOB_V2,
    Good {
        bundle: "a.dsse.staging-rekor-v2.txt.sigstore.json",
        signed: Signed::Digest(A_TXT),
        subject: BEACON,
        issuer: GITHUB_ACTIONS,
        statement: true,
        ..BLOB_V2
    },
    // Versions 0.1 and 0.2 of the bundle, with chains; npm's subjects are named by SHA-512.
    Good {
        bundle: "sigstore.js@2.0.0-provenance.sigstore.json",
        signed: Signed::Digest(
            "sha512:46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c",
        ),
        subject: "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main",
        entry: ("intoto", "0.0.2"),
        ..STATEMENT_V1
    },
    Good {
        bundle: "bundle_v3_github.whl.sigstore",
        signed: Signed::Digest("sha256:c4e92e9ecc828bef2aa7dba1de8ac983511f7532a0df11c770d39099a25cf201"),
        subject: "https://github.com/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2",
        issuer: GITHUB_ACTIONS,
        ..BLOB_V1
    },
    Good {
        bundle: "happy-path.sigstore.json",
        signed: Signed::Digest(A_TXT),
        subject: BEACON,
        ..STATEMENT_V1
    },
];

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keyless").join(name)
}

pub(crate) fn read(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

pub(crate) fn root(instance: Instance) -> TrustedRoot {
    TrustedRoot::from_json(root_json(instance).as_bytes()).unwrap()
}

pub(crate) fn root_json(instance: Instance) -> &'static str {
    match instance {
        Instance::Public => TrustedRoot::embedded_json(),
        Instance::Staging => sigstore::trust_root::SIGSTORE_STAGING_TRUSTED_ROOT,
    }
}

/// The instance's root after a change.
pub(crate) fn changed_root(instance: Instance, change: impl FnOnce(&mut Value)) -> Result<TrustedRoot> {
    let mut json: Value = serde_json::from_str(root_json(instance)).unwrap();
    change(&mut json);
    TrustedRoot::from_json(json.to_string().as_bytes())
}

impl Good {
    pub(crate) fn identity(&self) -> Identity {
        Identity::exact(self.subject, self.issuer).unwrap()
    }

    pub(crate) fn verify(&self, bundle: &[u8], identity: &Identity, root: &TrustedRoot) -> Result<Evidence> {
        match self.signed {
            Signed::File(name) => verify(bundle, Artifact::Bytes(&read(name)), identity, root),
            Signed::Digest(text) => verify(bundle, Artifact::Digest(&digest(text)), identity, root),
        }
    }

    /// The outcome for a changed bundle, with everything else unchanged.
    pub(crate) fn changed(&self, change: impl FnOnce(&mut Value)) -> Result<Evidence> {
        let mut json: Value = serde_json::from_slice(&read(self.bundle)).unwrap();
        change(&mut json);
        self.verify(json.to_string().as_bytes(), &self.identity(), &root(self.instance))
    }

    /// The outcome with another root, with everything else unchanged.
    pub(crate) fn with_root(&self, root: &TrustedRoot) -> Result<Evidence> {
        self.verify(&read(self.bundle), &self.identity(), root)
    }
}

pub(crate) fn digest(text: &str) -> Digest {
    text.parse().unwrap()
}
