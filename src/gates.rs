//! The gates of the trust file at which images are decided: what `pack` and `serve` share.

pub(crate) mod serving;

use std::sync::Arc;

use bundle_signer::{Gate, NameRule, TrustFile};
use error_class::{Class, Classified};
use evidence::gate::{Asking, ask_at};
use evidence::{Contents, EvidenceSource};
use oci::RegistryHost;
use packager::pack::Shipment;

use crate::cli::GateArgs;
use crate::logged::Work;
use crate::printer::Printer;

/// Images that a refusal names; the others are counted.
const MOST_NAMED: usize = 20;

/// A gate that does not let images through.
#[derive(Debug, thiserror::Error)]
#[error("the trust file's gate `{gate}` refuses {images}")]
pub(crate) struct Refused {
    gate: Gate,
    images: String,
}

impl Classified for Refused {
    fn class(&self) -> Class {
        Class::Refused
    }
}

/// What to do about a refusal.
pub(crate) const HINT: &str = "sign it by `airlock sign IMAGE --store STORE --key FILE` with a key that the trust file asks for, or bring it \
                               with its signatures; `airlock trust check FILE` explains the rules";

/// By which rule names are compared.
pub(crate) fn name_rule(arg: &GateArgs) -> NameRule {
    if arg.allow_unnamed { NameRule::MayBeSilent } else { NameRule::Required }
}

/// Asks the gate `pack` about all that is to be written, before anything is, by what is to be written with it.
pub(crate) async fn pack(
    shipment: &Arc<Shipment>,
    (trust, arg): (&TrustFile, &GateArgs),
    work: Option<&mut Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<()> {
    let gate = Gate::Pack;
    if trust.asked(gate).is_empty() {
        return Ok(());
    }
    let host: Option<&RegistryHost> = arg.registry_name.as_ref();
    let asking = Asking { trust, gate, name_rule: name_rule(arg), host };
    let (mut by, mut refused, mut allowed) = (Vec::new(), Vec::new(), true);
    for (repository, digest) in shipment.judged() {
        let place = EvidenceSource::Shipment(Arc::clone(shipment) as Arc<dyn Contents>, repository.clone());
        let answer = ask_at(&place, repository, digest, &asking).await?;
        by.extend(answer.by.iter().cloned());
        allowed &= answer.is_allowed();
        if !answer.is_satisfied() {
            refused.push(format!("{repository}@{digest} ({})", answer.unmet.join("; ")));
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
            printer.complain(&format!("warning: the trust file's gate `{gate}` only warns of {images}"));
            Ok(())
        }
        (false, false) => Err(Refused { gate, images }.into()),
    }
}

fn list(refused: &[String]) -> String {
    let named = refused.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    match refused.len().saturating_sub(MOST_NAMED) {
        0 => named,
        more => format!("{named}, and {more} more"),
    }
}
