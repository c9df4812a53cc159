//! The gates of the trust file that decide about images, for `pack` and `serve`.

pub(crate) mod serving;

use std::sync::Arc;

use bundle_signer::{Gate, NameRule, TrustFile};
use error_class::{Class, Classified};
use evidence::gate::{GateQuery, ask_at};
use evidence::{Contents, EvidenceSource};
use oci::RegistryHost;
use packager::pack::Shipment;

use crate::cli::GateArgs;
use crate::logged::Work;
use crate::printer::Printer;

/// A refusal names at most this many images; the others are counted.
const MAX_NAMED: usize = 20;

/// Images that a gate refuses.
#[derive(Debug, thiserror::Error)]
#[error("the trust file's gate `{gate}` refuses {images}")]
pub(crate) struct Refused {
    gate: Gate,
    images: String,
}

impl Refused {
    pub(crate) fn of(gate: Gate, images: String) -> Self {
        Self { gate, images }
    }
}

impl Classified for Refused {
    fn class(&self) -> Class {
        Class::Refused
    }
}

/// The hint for a refusal.
pub(crate) const HINT: &str = "sign it with a key that the trust file accepts: `airlock sign IMAGE --store STORE --key \
                               FILE`; or mirror it with its signatures; `airlock trust check FILE` explains the rules";

/// The rule for image names in signatures.
pub(crate) fn name_rule(arg: &GateArgs) -> NameRule {
    if arg.allow_unnamed { NameRule::Optional } else { NameRule::Required }
}

/// Evaluates the gate `pack` for everything that will be written, before anything is written. Only evidence that will
/// be written, too, counts.
pub(crate) async fn pack(
    shipment: &Arc<Shipment>,
    trust: &TrustFile,
    arg: &GateArgs,
    work: Option<&mut Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<()> {
    let gate = Gate::Pack;
    if trust.required_statements(gate).is_empty() {
        return Ok(());
    }
    let host: Option<&RegistryHost> = arg.registry_name.as_ref();
    let asking = GateQuery { trust, gate, name_rule: name_rule(arg), host };
    let (mut by, mut refused, mut allowed) = (Vec::new(), Vec::new(), true);
    for (repository, digest) in shipment.judged() {
        let source = EvidenceSource::Shipment(Arc::clone(shipment) as Arc<dyn Contents>, repository.clone());
        let decision = ask_at(&source, repository, digest, &asking).await?;
        by.extend(decision.by.iter().cloned());
        allowed &= decision.is_allowed();
        if !decision.is_satisfied() {
            refused.push(format!("{repository}@{digest} ({})", decision.unmet.join("; ")));
        }
    }
    by.sort();
    by.dedup();
    let images = list(&refused);
    if let Some(work) = work {
        work.evidence("gate", &gate);
        work.evidence("gateSigners", &by.join(" "));
        if !refused.is_empty() && allowed {
            work.evidence("warned", &images);
        }
    }
    match (refused.is_empty(), allowed) {
        (true, _) => Ok(()),
        (false, true) => {
            printer.complain(&format!(
                "warning: the trust file's gate `{gate}`, which only warns, does not accept {images}"
            ));
            Ok(())
        }
        (false, false) => Err(Refused { gate, images }.into()),
    }
}

fn list(refused: &[String]) -> String {
    let named = refused.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    match refused.len().saturating_sub(MAX_NAMED) {
        0 => named,
        more => format!("{named}, and {more} more"),
    }
}
