//! `airlock inbox`: the manifests that wait for their signatures in a registry with a gate.

use audit::EventType;
use bundle_signer::{Gate, TrustFile};
use clap::Subcommand;
use evidence::gate::{GateQuery, ask};
use oci::{Digest, RepositoryName, Tag};
use packager::witness::notes::{Purpose, note_policy, refuse_stale_policy};
use serde::Serialize;
use store::{Change, InboxEntry, Store};

use crate::cli::{GateArgs, StoreArg, StoredName, TrustArg, tag_name};
use crate::clock::rfc3339;
use crate::failure::{Missing, Status, Usage};
use crate::files::read;
use crate::gates::{Refused, name_rule};
use crate::logged::{Logs, Work, acting};
use crate::printer::{Printer, row};
use crate::trust_input::{parse_trust, trust};

#[derive(Debug, Subcommand)]
pub(crate) enum Inbox {
    /// List the manifests in the inbox, with their tags, who pushed them, and when they expire.
    #[command(after_help = "Example: airlock inbox list --store store")]
    List {
        /// List only this repository.
        repository: Option<RepositoryName>,
        #[command(flatten)]
        store: StoreArg,
    },
    /// Set a tag to its manifest in the inbox, if the signatures satisfy the gate `push` of the trust file. The registry
    /// does this itself when it receives a signature. Use this command after signing in the store or changing the trust file.
    #[command(after_help = "Example: airlock inbox promote team/app:v1 --store store --trust trust.yaml")]
    Promote {
        /// The tag.
        #[arg(value_name = "REPOSITORY:TAG", value_parser = tag_name)]
        name: StoredName,
        #[command(flatten)]
        store: StoreArg,
        #[command(flatten)]
        trust: TrustArg,
        #[command(flatten)]
        gate: GateArgs,
        /// Evaluate the gate, without setting the tag.
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove a manifest from the inbox. The tag does not change.
    #[command(after_help = "Example: airlock inbox drop team/app:v1 --dry-run --store store")]
    Drop {
        /// The tag.
        #[arg(value_name = "REPOSITORY:TAG", value_parser = tag_name)]
        name: StoredName,
        #[command(flatten)]
        store: StoreArg,
        /// Print what would be removed, without removing it.
        #[arg(long)]
        dry_run: bool,
    },
}

pub(crate) async fn run(settings: &Inbox, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        Inbox::List { repository, store } => {
            list(&Store::open_to_read(&store.store)?, repository.as_ref(), printer)
        }
        Inbox::Promote { name, store, trust, gate, dry_run: true } => {
            let store = Store::open_to_read(&store.store)?;
            let path = trust.trust.as_ref().ok_or_else(no_trust)?;
            let trust = parse_trust(path, &read(path)?, printer)?;
            refuse_stale_policy(&store, Purpose::Content, trust.sequence())?;
            let (found, _) = admitted(&store, name, &trust, gate).await?;
            printer.result(&Line::of(found), |found| found.changed("would set"))?;
            Ok(Status::Done)
        }
        Inbox::Promote { name, store: arg, trust, gate, .. } => {
            let object = name.to_string();
            let mut work = logs.begin(EventType::InboxPromote, "tag", &object, Some(&arg.store), printer)?;
            let result = promote(arg, name, (trust, gate), &mut work, printer).await;
            work.end(result)
        }
        Inbox::Drop { name, store, dry_run: true } => {
            let found = Line::of(find(&Store::open_to_read(&store.store)?, name)?);
            printer.result(&found, |found| found.changed("would drop"))?;
            Ok(Status::Done)
        }
        Inbox::Drop { name, store, .. } => {
            let object = name.to_string();
            let mut work = logs.begin(EventType::InboxDrop, "tag", &object, Some(&store.store), printer)?;
            let result = discard(store, name, &mut work, printer);
            work.end(result)
        }
    }
}

/// An entry as it is printed.
#[derive(Debug, Serialize)]
struct Line {
    repository: RepositoryName,
    tag: Tag,
    digest: Digest,
    bytes: u64,
    pushed: String,
    expires: String,
    by: Option<String>,
    expired: bool,
}

impl Line {
    fn of(entry: InboxEntry) -> Self {
        let expired = entry.is_expired();
        let InboxEntry { repository, tag, digest, bytes, pushed, expires, by } = entry;
        let (pushed, expires) = (rfc3339(pushed), rfc3339(expires));
        Self { repository, tag, digest, bytes, pushed, expires, by, expired }
    }

    fn text(&self) -> String {
        let Self { repository, tag, digest, expires, by, expired, .. } = self;
        let verb = if *expired { "expired" } else { "expires" };
        let by = by.as_deref().unwrap_or("-");
        row(&format!("{repository}:{tag}  {digest}  {verb} {expires}  {by}"))
    }

    fn changed(&self, verb: &str) -> String {
        let Self { repository, tag, digest, .. } = self;
        row(&format!("{verb} {repository}:{tag}  {digest}"))
    }
}

fn list(store: &Store, repository: Option<&RepositoryName>, printer: &Printer) -> anyhow::Result<Status> {
    let lines: Vec<_> = store.inbox(repository)?.into_iter().map(Line::of).collect();
    printer.result(&lines, |lines| match &lines[..] {
        [] => "no manifests in the inbox\n".to_owned(),
        lines => lines.iter().map(Line::text).collect(),
    })?;
    Ok(Status::Done)
}

fn find(store: &Store, name: &StoredName) -> anyhow::Result<InboxEntry> {
    let entries = store.inbox(Some(&name.repository))?;
    let found = entries.into_iter().find(|entry| Some(&entry.tag) == name.tag());
    found.ok_or_else(|| {
        let message = format!("the inbox has no manifest for `{name}`");
        Missing { message, hint: Some("`airlock inbox list` shows the manifests in the inbox") }.into()
    })
}

fn no_trust() -> Usage {
    let message = "no trust file is given".to_owned();
    Usage { message, hint: "give the registry's trust file with --trust FILE" }
}

/// The entry of a tag, if the gate admits its manifest, and the names of the signers that counted.
async fn admitted(
    store: &Store,
    name: &StoredName,
    trust: &TrustFile,
    gate: &GateArgs,
) -> anyhow::Result<(InboxEntry, Vec<String>)> {
    let entry = find(store, name)?;
    if trust.required_statements(Gate::Push).is_empty() {
        let message = "the trust file has no gate `push`".to_owned();
        return Err(Usage { message, hint: "give the registry's trust file" }.into());
    }
    let (name_rule, host) = (name_rule(gate), gate.registry_name.as_ref());
    let query = GateQuery { trust, gate: Gate::Push, name_rule, host };
    let decision = ask(store, &entry.repository, &entry.digest, &query).await?;
    if !decision.is_allowed() {
        let image = format!("{}@{} ({})", entry.repository, entry.digest, decision.unmet.join("; "));
        return Err(Refused::of(Gate::Push, image).into());
    }
    Ok((entry, decision.by))
}

async fn promote(
    arg: &StoreArg,
    name: &StoredName,
    (file, gate): (&TrustArg, &GateArgs),
    work: &mut Work<'_>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let store = Store::open_existing(&arg.store)?;
    acting(&store, "inbox promote");
    let trust = trust(file, work)?.ok_or_else(no_trust)?;
    note_policy(&store, Purpose::Content, trust.sequence())?;
    let (entry, by) = admitted(&store, name, &trust, gate).await?;
    work.digests([entry.digest.to_string()]);
    work.evidence("gate", &Gate::Push);
    work.evidence("signer", &by.join(" "));
    let InboxEntry { repository, tag, digest, .. } = entry.clone();
    store.commit(vec![Change::Promote { repository, tag, digest }])?;
    work.done()?;
    printer.report(&Line::of(entry), |entry| entry.changed("set"))?;
    Ok(Status::Done)
}

fn discard(
    arg: &StoreArg,
    name: &StoredName,
    work: &mut Work<'_>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let store = Store::open_existing(&arg.store)?;
    let entry = find(&store, name)?;
    work.digests([entry.digest.to_string()]);
    let InboxEntry { repository, tag, digest, .. } = entry.clone();
    store.commit(vec![Change::Discard { repository, tag, digest }])?;
    work.done()?;
    printer.report(&Line::of(entry), |entry| entry.changed("dropped"))?;
    Ok(Status::Done)
}
