//! `airlock trust`: explains and checks trust files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use audit::EventType;
use bundle_signer::trust::{Finding, Holder, Severity, TrustedLog, json_schema};
use bundle_signer::{Gate, Mode, TrustFile, TrustedIdentity};
use clap::Subcommand;
use oci::Digest;
use packager::witness::notes::{Purpose, accept_policy};
use serde_json::json;
use store::Store;

use super::quarantine::reason;
use crate::cli::StoreArg;
use crate::failure::Status;
use crate::files::read;
use crate::logged::{Logs, Work, outcome};
use crate::printer::{Printer, row};
use crate::trust_input::{parse_trust, trust_of};

#[derive(Debug, Subcommand)]
pub(crate) enum Trust {
    /// Explain a trust file, and find contradictions.
    #[command(
        after_help = "Exits with 3 if a rule can never be met.\nExample: airlock trust check trust.yaml"
    )]
    Check {
        /// The trust file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Accept an older trust file: one with a lower sequence number than the store has seen.
    #[command(
        after_help = "If you can, give the file a higher sequence number instead: that works at every site.\n\
        Example: airlock trust accept trust.yaml --reason 'number 9 was a mistake' --store store"
    )]
    Accept {
        /// The trust file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The reason, for the audit log.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
        /// Accept it for `airlock acknowledge`, not for drives and images.
        #[arg(long)]
        sites: bool,
        #[command(flatten)]
        store: StoreArg,
    },
    /// Print the JSON Schema of the trust file.
    Schema,
}

pub(crate) fn run(settings: &Trust, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        Trust::Schema => {
            printer.data(&serde_json::to_string_pretty(&json_schema())?)?;
            Ok(Status::Done)
        }
        Trust::Accept { file, reason, sites, store } => {
            let name = file.display().to_string();
            let mut work =
                logs.begin(EventType::PolicyChange, "policy", &name, Some(&store.store), printer)?;
            let purpose = if *sites { Purpose::Sites } else { Purpose::Content };
            let result = accept(file, reason, store, purpose, &mut work, printer);
            work.end(result)
        }
        Trust::Check { file } => {
            let name = file.display().to_string();
            let mut work = logs.begin(EventType::PolicyCheck, "policy", &name, None, printer)?;
            let result = check(file, &mut work, printer);
            work.end(result)
        }
    }
}

fn accept(
    file: &Path,
    reason: &str,
    store: &StoreArg,
    purpose: Purpose,
    work: &mut Work<'_>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let text = read(file)?;
    let trust = parse_trust(file, &text, printer)?;
    let store = Store::open_existing(&store.store)?;
    let name = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    work.name(&name.display().to_string());
    work.digests([Digest::sha256(text.as_bytes()).to_string()]);
    let before = accept_policy(&store, purpose, trust.sequence())?;
    work.evidence("reason", reason);
    work.evidence("sequence", &trust.sequence());
    work.evidence("greatestBefore", &before);
    work.done()?;
    let value = json!({ "file": file, "sequence": trust.sequence(), "before": before });
    printer.result(&value, |_| {
        let (file, sequence) = (file.display(), trust.sequence());
        format!(
            "{file} with sequence {sequence} is in effect from now on; the highest sequence was {before}\n"
        )
    })?;
    Ok(Status::Done)
}

fn check(file: &Path, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let text = read(file)?;
    work.digests([Digest::sha256(text.as_bytes()).to_string()]);
    let trust = trust_of(file, &text)?;
    let mut findings = trust.findings();
    findings.extend(trust.warning(&text).map(|text| Finding { severity: Severity::Warning, text }));
    let explained = explain(&trust);
    let contradictions = || findings.iter().filter(|finding| finding.severity == Severity::Contradiction);
    work.evidence("sequence", &trust.sequence());
    match contradictions().next() {
        None => work.done()?,
        Some(first) => work.ended(&outcome::faults(&first.text))?,
    }
    let value =
        json!({ "file": file, "sequence": trust.sequence(), "explained": explained, "findings": findings });
    printer.result(&value, |_| {
        let lines = explained.iter().map(|line| row(line));
        let findings = findings.iter().map(|finding| {
            let severity = match finding.severity {
                Severity::Contradiction => "contradiction",
                Severity::Warning => "warning",
            };
            row(&format!("{severity}: {}", finding.text))
        });
        lines.chain(findings).collect()
    })?;
    Ok(if contradictions().next().is_none() { Status::Done } else { Status::Faults })
}

/// One sentence for each rule.
fn explain(trust: &TrustFile) -> Vec<String> {
    let mut lines = Vec::new();
    if trust.sequence() > 0 {
        lines.push(format!("trust file with sequence {}", trust.sequence()));
    }
    lines.extend(trust.keys().iter().map(|key| format!("key {}", explain_holder(trust, key.holder()))));
    lines.extend(trust.identities().iter().map(|identity| explain_identity(trust, identity)));
    let log_line = |kind: &str, log: &TrustedLog, what: &str| {
        let (name, origin, hint) = (log.name(), log.key().name(), log.hint());
        format!("{kind} `{name}` ({origin}, hint {hint}): {what}")
    };
    let drives = "each drive must include one of these logs, complete and consistent with earlier drives";
    lines.extend(trust.logs().iter().map(|log| log_line("log", log, drives)));
    let sites = "its cosignatures of a log are accepted";
    lines.extend(trust.witnesses().iter().map(|site| log_line("witness", site, sites)));
    for group in trust.groups() {
        let (name, threshold) = (group.name(), group.threshold());
        lines.push(format!("group `{name}`: {threshold} of {}", group.keys().join(", ")));
    }
    for gate in Gate::ALL {
        if !trust.has_gate(gate) {
            let what = match gate {
                Gate::Import => "a drive needs one signature by a signer that may sign drives",
                _ => "images need no signature",
            };
            lines.push(format!("gate {gate}: not configured, {what}"));
            continue;
        }
        let rules: Vec<_> =
            trust.required(gate).iter().map(|(what, by)| format!("{what} by `{by}`")).collect();
        let rules = if rules.is_empty() {
            "anything".to_owned()
        } else {
            format!("{}; anything else", rules.join(", "))
        };
        let mode = match trust.mode(gate) {
            Mode::Enforce => "refuses",
            Mode::Warn => "warns",
        };
        lines.push(format!("gate {gate}: accepts {rules} by one signer that may sign it; {mode} otherwise"));
    }
    lines
}

fn explain_identity(trust: &TrustFile, known: &TrustedIdentity) -> String {
    let root = known.root();
    let addresses: Vec<_> = root.services().into_iter().map(|service| service.address).collect();
    let addresses = addresses.into_iter().filter(|address| !address.is_empty()).collect::<BTreeSet<_>>();
    let addresses = addresses.into_iter().collect::<Vec<_>>().join(", ");
    let (who, holder) = (known.identity(), explain_holder(trust, known.holder()));
    format!("identity {holder}; it is {who}, under the trusted root {} ({addresses})", root.digest())
}

fn explain_holder(trust: &TrustFile, holder: &Holder) -> String {
    let may = match holder.roles() {
        None if trust.is_open() => "may sign anything".to_owned(),
        None => "may sign drives and all statements about images".to_owned(),
        Some([]) => "may sign nothing".to_owned(),
        Some(roles) => {
            let roles: Vec<_> = roles.iter().map(ToString::to_string).collect();
            format!("may sign {}", roles.join("; or "))
        }
    };
    let (name, hint) = (holder.name(), holder.hint());
    match trust.revocation(holder) {
        None => format!("`{name}` ({hint}): {may}"),
        Some(revocation) => {
            let (date, reason) = (revocation.date(), revocation.reason());
            format!("`{name}` ({hint}): revoked on {date}: {reason}")
        }
    }
}
