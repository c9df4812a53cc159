//! What the files of a plan contain.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bundle_signer::TrustFile;
use oci::{Digest, RegistryHost};
use registry::server::{Auth, ClientAuthorities, Gate};
use rustls::sign::CertifiedKey;
use store::Store;

use super::plan::{GateRules, Plan, Security};
use super::sources::Sources;
use super::{Serve, document};
use crate::commands::tls;
use crate::failure::unusable;
use crate::files::warn_of_readable;
use crate::gates::serving::{DecisionCache, Gates};
use crate::logged::Journals;
use crate::printer::Printer;
use crate::trust_input::parse_trust;

/// The parsed files of a plan.
pub(super) struct Loaded {
    pub(super) auth: Auth,
    /// The certificate of each listener that has one from files.
    pub(super) certificates: Vec<Option<CertifiedKey>>,
    /// The CAs of client certificates of each listener that accepts these.
    pub(super) clients: Vec<Option<ClientAuthorities>>,
    pub(super) trust: Option<Trusted>,
}

/// A trust file.
pub(super) struct Trusted {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) file: TrustFile,
}

/// Everything that the decisions of a gate depend on, except the store.
#[derive(Clone, PartialEq)]
pub(super) struct GateBasis {
    /// The digests of the trust file and of the trusted roots that it names.
    digests: BTreeSet<String>,
    rules: GateRules,
}

/// The configuration that the flags or the file describe, which meets the rules.
pub(super) fn plan_of(settings: &Serve, sources: &mut Sources) -> anyhow::Result<Plan> {
    let plan = match &settings.file {
        Some(path) => document::parse(&sources.read(path)?, path)?,
        None => Plan::of_flags(settings)?,
    };
    Ok(plan)
}

/// Reads the files of a plan.
pub(super) fn load(plan: &Plan, sources: &mut Sources, printer: &Printer) -> anyhow::Result<Loaded> {
    let auth = plan.access.load(sources)?;
    let mut certificates = Vec::new();
    for listener in &plan.listeners {
        let Security::Files { cert, key } = &listener.security else {
            certificates.push(None);
            continue;
        };
        let (chain, secret) = (sources.read(cert)?, sources.read(key)?);
        warn_of_readable(key, &secret, printer);
        certificates.push(Some(tls::certificate((cert, &chain), (key, &secret))?));
    }
    let clients = plan.listeners.iter().map(|listener| {
        listener.client_ca.as_deref().map(|path| client_authorities(path, sources)).transpose()
    });
    let clients = clients.collect::<anyhow::Result<_>>()?;
    let trust = plan.trust.as_ref().map(|path| {
        let text = sources.read(path)?;
        let file = parse_trust(path, &text, printer)?;
        Ok::<_, anyhow::Error>(Trusted { path: path.clone(), text, file })
    });
    Ok(Loaded { auth, certificates, clients, trust: trust.transpose()? })
}

fn client_authorities(path: &Path, sources: &mut Sources) -> anyhow::Result<ClientAuthorities> {
    let failed = format!("the client CA file `{}` cannot be used", path.display());
    ClientAuthorities::parse(&sources.read(path)?).map_err(unusable(failed))
}

impl Trusted {
    fn digest(&self) -> String {
        Digest::sha256(self.text.as_bytes()).to_string()
    }

    pub(super) fn basis(&self, plan: &Plan) -> GateBasis {
        let roots = self.file.identities().iter().map(|known| known.root().digest().to_string());
        GateBasis { digests: roots.chain([self.digest()]).collect(), rules: plan.gates.clone() }
    }

    /// The gates `push` and `pull`, if the trust file has rules for them. `host` is the registry's name if the plan names
    /// none.
    pub(super) fn gate(
        self,
        plan: &Plan,
        store: &Store,
        host: Option<&RegistryHost>,
        journals: Journals,
    ) -> Option<Arc<dyn Gate>> {
        if !Gates::are_needed(&self.file) {
            return None;
        }
        let policy = Some(self.digest());
        let host = plan.gates.registry_name.clone().or_else(|| host.cloned());
        let name_rule = plan.gates.name_rule;
        let (store, trust, cache) = (store.clone(), self.file, DecisionCache::default());
        Some(Arc::new(Gates { store, trust, policy, name_rule, host, journals, cache }))
    }
}
