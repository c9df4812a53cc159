//! `airlock verify-image`.

use audit::EventType;
use bundle_signer::trust::Mode;
use bundle_signer::{Gate, NameRule};
use clap::{Args, ValueEnum};
use evidence::{EvidenceSource, Question, Until, Verdict, judged, resolve};
use packager::witness::notes::{Purpose, refuse_stale_policy};
use serde_json::json;

use crate::cli::{ImageArg, TrustArg, predicate_type};
use crate::commands::image::Image;
use crate::failure::{Status, Usage};
use crate::logged::{Logs, Work, outcome};
use crate::printer::{Printer, row};
use crate::trust_input::trust;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    airlock verify-image registry.example/team/app:v1 --trust trust.yaml\n  \
    airlock verify-image registry.example/team/app:v1 --trust trust.yaml --type slsaprovenance1 --store store\n\n\
    Exits with 3 if the image is unsigned or its signatures are refused, with 6 if the registry cannot be reached.")]
pub(crate) struct VerifyImage {
    #[command(flatten)]
    pub(crate) image: ImageArg,
    #[command(flatten)]
    pub(crate) trust: TrustArg,
    /// The required evidence: signature, a predicate type of `airlock attest`, or a URI.
    #[arg(long = "type", value_name = "TYPE", default_value = "signature", value_parser = predicate_type)]
    pub(crate) kind: String,
    /// The gate of the trust file whose rules apply.
    #[arg(long, value_enum, default_value_t = GateArg::Pull)]
    pub(crate) gate: GateArg,
    /// Accept signatures without an image name, as `cosign sign` 3 creates them.
    #[arg(long)]
    pub(crate) allow_unnamed: bool,
    /// Reject a trust file with a lower sequence number.
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    pub(crate) min_trust_sequence: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GateArg {
    /// Before mirrored content is published in the store.
    Mirror,
    /// Before a drive is written.
    Pack,
    /// Before a drive's content is imported.
    Import,
    /// Before a registry accepts an image.
    Push,
    /// Before an image is pulled or admitted.
    Pull,
}

pub(crate) async fn run(settings: &VerifyImage, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let name = settings.image.reference.clone().unwrap_or_default();
    let store = settings.image.store.as_deref();
    let mut work = logs.begin(EventType::Verify, "image", &name, store, printer)?;
    let result = decide(settings, &mut work, printer).await;
    work.end(result)
}

async fn decide(settings: &VerifyImage, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let trust = trust(&settings.trust, work)?.ok_or_else(|| Usage {
        message: "verifying needs a trust file".to_owned(),
        hint: "give --trust FILE; `airlock keys trust KEY.pub` creates one from public keys",
    })?;
    let image = Image::find(&settings.image)?;
    if let EvidenceSource::Store(store, _) = &image.source {
        refuse_stale_policy(store, Purpose::Content, trust.sequence())?;
    }
    let (digest, manifest) = resolve(&image.source, &image.selector).await?;
    // A signature on an index covers the images that it lists.
    let listed = manifest.children().iter().map(|child| child.digest.to_string());
    work.digests(std::iter::once(digest.to_string()).chain(listed));
    work.evidence("name", &image.name);
    work.evidence("predicateType", &settings.kind);
    work.evidence("gate", &gate(settings.gate));
    let question = Question {
        digest: &digest,
        name: &image.name,
        name_rule: if settings.allow_unnamed { NameRule::Optional } else { NameRule::Required },
        predicate_type: &settings.kind,
        gate: gate(settings.gate),
        newest_policy: settings.min_trust_sequence,
    };
    let asked = vec![question];
    let verdict = judged(&image.source, &digest, &trust, asked, Until::Complete).await?.remove(0);
    log(&verdict, work)?;
    let value = json!({
        "image": image.text, "digest": digest, "name": image.name.to_string(),
        "predicateType": settings.kind, "verdict": verdict,
    });
    printer
        .result(&value, |_| format!("{} is {digest}, as {}\n", image.text, image.name) + &text(&verdict))?;
    let decision = &verdict.decision;
    if decision.mode == Mode::Warn && !decision.satisfied {
        printer.complain("warning: the rules are not met; the trust file only warns at this gate");
    }
    Ok(if decision.allowed { Status::Done } else { Status::Faults })
}

/// Logs a verdict: the signers that counted, or the reasons for the refusal.
fn log(verdict: &Verdict, work: &mut Work<'_>) -> anyhow::Result<()> {
    let decision = &verdict.decision;
    let hints: Vec<_> = verdict.signatures.iter().map(|signature| signature.hint.clone()).collect();
    work.evidence("signer", &decision.by.join(" "));
    work.evidence("key", &hints.join(" "));
    if decision.satisfied {
        return work.done();
    }
    let mut reasons: Vec<_> = decision.reasons.iter().map(ToString::to_string).collect();
    reasons.extend(verdict.refused.iter().map(|refused| refused.reason.clone()));
    if decision.allowed {
        work.evidence("warned", &reasons.join("; "));
        return work.done();
    }
    work.ended(&outcome::refused(&reasons.join("; ")))
}

fn text(verdict: &Verdict) -> String {
    let decision = &verdict.decision;
    let good = verdict.signatures.iter().map(|signature| {
        let (key, hint) = (&signature.key, &signature.hint);
        let certified = signature.certified.as_ref().map_or_else(String::new, |by| format!(", {by}"));
        row(&format!("good: {key} ({hint}), {} at {}{certified}", signature.format, signature.at))
    });
    let refused = verdict
        .refused
        .iter()
        .map(|refused| row(&format!("refused: {} at {}: {}", refused.format, refused.at, refused.reason)));
    let skipped =
        verdict.skipped.iter().map(|skipped| row(&format!("skipped: {}: {}", skipped.at, skipped.reason)));
    let reasons = decision.reasons.iter().map(|reason| row(&format!("reason: {reason}")));
    let others = match verdict.others {
        0 => String::new(),
        count => format!("{count} other statements by trusted keys\n"),
    };
    let end = if decision.satisfied {
        row(&format!("accepted at gate {}: {}", decision.gate, decision.by.join(", ")))
    } else {
        format!("refused at gate {}\n", decision.gate)
    };
    good.chain(refused).chain(skipped).chain(reasons).collect::<String>() + &others + &end
}

fn gate(arg: GateArg) -> Gate {
    match arg {
        GateArg::Mirror => Gate::Mirror,
        GateArg::Pack => Gate::Pack,
        GateArg::Import => Gate::Import,
        GateArg::Push => Gate::Push,
        GateArg::Pull => Gate::Pull,
    }
}
