//! `airlock verify-image`.

use bundle_signer::trust::Mode;
use bundle_signer::{Gate, Limits, NameRule};
use packager::evidence::{Question, Verdict, collect, judge, resolve};
use serde_json::json;

use crate::cli::{GateArg, VerifyImage};
use crate::commands::image::Image;
use crate::commands::trust;
use crate::failure::{Status, Usage};
use crate::printer::Printer;

pub(crate) async fn run(settings: &VerifyImage, printer: &Printer) -> anyhow::Result<Status> {
    let trust = trust(&settings.trust)?.ok_or_else(|| Usage {
        message: "verifying needs a trust file".to_owned(),
        hint: "give --trust FILE; `airlock keys trust KEY.pub` makes one of public keys",
    })?;
    let image = Image::find(&settings.image)?;
    let (digest, _) = resolve(&image.place, &image.selector).await?;
    let collected = collect(&image.place, &digest, &Limits::default()).await?;
    let question = Question {
        digest: &digest,
        name: &image.name,
        name_rule: if settings.allow_unnamed { NameRule::MayBeSilent } else { NameRule::Required },
        predicate_type: &settings.kind,
        gate: gate(settings.gate),
        newest_policy: settings.min_trust_sequence,
    };
    let verdict = judge(collected, &trust, &question);
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

fn text(verdict: &Verdict) -> String {
    let decision = &verdict.decision;
    let good = verdict.signatures.iter().map(|signature| {
        let (key, hint) = (&signature.key, &signature.hint);
        format!("good: {key} ({hint}), {} at {}\n", signature.format, signature.at)
    });
    let refused = verdict
        .refused
        .iter()
        .map(|refused| format!("refused: {} at {}: {}\n", refused.format, refused.at, refused.why));
    let skipped =
        verdict.skipped.iter().map(|skipped| format!("passed over: {}: {}\n", skipped.at, skipped.why));
    let why = decision.why_not.iter().map(|why| format!("why not: {why}\n"));
    let others = match verdict.others {
        0 => String::new(),
        count => format!("{count} other statements by trusted keys\n"),
    };
    let end = if decision.satisfied {
        format!("accepted at gate {}: {}\n", decision.gate, decision.by.join(", "))
    } else {
        format!("refused at gate {}\n", decision.gate)
    };
    good.chain(refused).chain(skipped).chain(why).collect::<String>() + &others + &end
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
