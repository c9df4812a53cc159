//! `airlock tags`: the tags of a store, now and before.

use anyhow::Context as _;
use audit::EventType;
use clap::Subcommand;
use oci::{Digest, RepositoryName, Tag};
use serde::Serialize;
use store::{Change, Store, TagChange};
use time::OffsetDateTime;

use crate::cli::{StoreArg, StoredName, tag_name, tags_name, time_of};
use crate::clock::rfc3339;
use crate::failure::{Missing, Protected, Status, Usage};
use crate::logged::{Logs, Work, acting};
use crate::printer::{Printer, row};

#[derive(Debug, Subcommand)]
pub(crate) enum Tags {
    /// Show which tags were moved, when, by whom, from which manifest to which one. The newest change comes first.
    #[command(after_help = "Example: airlock tags history team/app:v1 --store store")]
    History {
        /// The repository, or one tag of it.
        #[arg(value_name = "REPOSITORY[:TAG]", value_parser = tags_name)]
        name: StoredName,
        #[command(flatten)]
        store: StoreArg,
        /// Show at most this many of the newest changes.
        #[arg(long, value_name = "COUNT")]
        limit: Option<usize>,
    },
    /// List the tags of a repository and the manifests they point to, now or at an earlier time.
    #[command(after_help = "Example: airlock tags list team/app --at 2026-11-21T10:00:00Z --store store")]
    List {
        /// The repository.
        repository: RepositoryName,
        #[command(flatten)]
        store: StoreArg,
        /// A date, or a date and time such as 2026-11-21T10:00:00Z.
        #[arg(long, value_name = "TIME", value_parser = time_of)]
        at: Option<OffsetDateTime>,
    },
    /// Point a tag at the manifest that it pointed to before. A second rollback undoes the first one.
    #[command(after_help = "Example: airlock tags rollback team/app:v1 --dry-run --store store")]
    Rollback {
        /// The tag.
        #[arg(value_name = "REPOSITORY:TAG", value_parser = tag_name)]
        name: StoredName,
        #[command(flatten)]
        store: StoreArg,
        /// A manifest that the tag pointed to, instead of the previous one.
        #[arg(long, value_name = "DIGEST")]
        to: Option<Digest>,
        /// Move the tag even if a rule makes it immutable.
        #[arg(long)]
        force: bool,
        /// Print what would be changed, without changing it.
        #[arg(long)]
        dry_run: bool,
    },
}

pub(crate) fn run(settings: &Tags, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        Tags::History { name, store, limit } => {
            history(&Store::open_to_read(&store.store)?, name, *limit, printer)
        }
        Tags::List { repository, store, at } => {
            list(&Store::open_to_read(&store.store)?, repository, *at, printer)
        }
        Tags::Rollback { name, store, to, force, dry_run: true } => {
            let store = Store::open_to_read(&store.store)?;
            let plan = Rollback::plan(&store, name, to.as_ref())?;
            printer.result(&plan, |plan| plan.text("would move"))?;
            plan.check(&store, *force)?;
            Ok(Status::Done)
        }
        Tags::Rollback { name, store, to, force, .. } => {
            let object = name.to_string();
            let mut work = logs.begin(EventType::TagRollback, "tag", &object, Some(&store.store), printer)?;
            let result = rollback(store, name, (to.as_ref(), *force), &mut work, printer);
            work.end(result)
        }
    }
}

#[derive(Serialize)]
struct ChangeLine {
    repository: RepositoryName,
    /// RFC 3339, UTC.
    time: String,
    #[serde(flatten)]
    change: TagChange,
}

impl ChangeLine {
    fn text(&self) -> String {
        let Self { repository, time, change: TagChange { tag, from, to, by, .. } } = self;
        let shown = |digest: &Option<Digest>| digest.as_ref().map_or("-".to_owned(), ToString::to_string);
        row(&format!("{time}  {repository}:{tag}  {}", by.as_deref().unwrap_or("-")))
            + &format!("  from {}\n  to   {}\n", shown(from), shown(to))
    }
}

fn history(
    store: &Store,
    name: &StoredName,
    limit: Option<usize>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    // A repository that was removed still has its history.
    if store.tag_history(&name.repository, None, Some(1))?.is_empty() {
        check_exists(store, &name.repository)?;
    }
    let found = store.tag_history(&name.repository, name.tag(), limit)?.into_iter();
    let lines: Vec<_> = found
        .map(|change| ChangeLine { repository: name.repository.clone(), time: rfc3339(change.at), change })
        .collect();
    printer.result(&lines, |lines| match &lines[..] {
        [] => format!("no changes of {name} are recorded\n"),
        lines => lines.iter().map(ChangeLine::text).collect(),
    })?;
    Ok(Status::Done)
}

#[derive(Serialize)]
struct TagLine {
    tag: Tag,
    digest: Digest,
}

fn list(
    store: &Store,
    repository: &RepositoryName,
    at: Option<OffsetDateTime>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    check_exists(store, repository)?;
    let found = match at {
        None => store.tags(repository, None, None)?,
        Some(at) => store.tags_at(repository, at.unix_timestamp())?,
    };
    let lines: Vec<_> = found.into_iter().map(|(tag, digest)| TagLine { tag, digest }).collect();
    printer.result(&lines, |lines| {
        lines.iter().map(|line| format!("{repository}:{}  {}\n", line.tag, line.digest)).collect()
    })?;
    Ok(Status::Done)
}

fn check_exists(store: &Store, repository: &RepositoryName) -> anyhow::Result<()> {
    if store.repository_exists(repository)? {
        return Ok(());
    }
    let message = format!("the store has no repository `{repository}`");
    Err(Missing { message, hint: Some("`airlock store list` shows the names") }.into())
}

/// The change that a rollback makes.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Rollback {
    repository: RepositoryName,
    tag: Tag,
    /// None if the tag was removed.
    from: Option<Digest>,
    to: Digest,
}

impl Rollback {
    fn plan(store: &Store, name: &StoredName, to: Option<&Digest>) -> anyhow::Result<Self> {
        let tag = name.tag().with_context(|| format!("`{name}` is not a tag"))?.clone();
        check_exists(store, &name.repository)?;
        let selector = oci::Selector::Tag(tag.clone());
        let from = store.resolve(&name.repository, &selector)?.map(|row| row.digest);
        let known = store.tag_history(&name.repository, Some(&tag), None)?;
        let to = target(name, from.as_ref(), &known, to)?;
        if store.manifest(&name.repository, &to)?.is_none() {
            let message = format!("`{name}` pointed to `{to}`, which the repository no longer has");
            let hint =
                "`airlock tags history` shows earlier ones, for --to; or push, mirror or import it again";
            return Err(Missing { message, hint: Some(hint) }.into());
        }
        Ok(Self { repository: name.repository.clone(), tag, from, to })
    }

    /// Fails if the tag is immutable.
    fn check(&self, store: &Store, force: bool) -> anyhow::Result<()> {
        let Self { repository, tag, .. } = self;
        if force || self.from.is_none() || !store.rules()?.are_immutable(repository, tag) {
            return Ok(());
        }
        let message = format!("`{repository}:{tag}` is immutable, so it cannot be moved");
        let hint = "the rule is in the registry's configuration file; to move the tag anyway, use --force";
        Err(Protected { message, hint }.into())
    }

    fn text(&self, verb: &str) -> String {
        let from = self.from.as_ref().map_or("-".to_owned(), ToString::to_string);
        let Self { repository, tag, to, .. } = self;
        format!("{verb} {repository}:{tag}\n  from {from}\n  to   {to}\n")
    }
}

/// The manifest to return to, decided from the changes of the tag, newest first.
fn target(
    name: &StoredName,
    current: Option<&Digest>,
    known: &[TagChange],
    to: Option<&Digest>,
) -> anyhow::Result<Digest> {
    let mut earlier = known.iter().filter_map(|change| change.to.as_ref());
    let Some(to) = to else {
        let previous = earlier.find(|digest| Some(*digest) != current);
        return previous.cloned().ok_or_else(|| {
            let message = format!("no earlier manifest of `{name}` is recorded");
            Missing { message, hint: Some("`airlock tags history` shows what is recorded") }.into()
        });
    };
    if Some(to) == current {
        let message = format!("`{name}` points to `{to}` already");
        return Err(Usage { message, hint: "nothing needs to be changed" }.into());
    }
    if !earlier.any(|digest| digest == to) {
        let message = format!("`{name}` never pointed to `{to}`, as far as its history goes back");
        return Err(
            Missing { message, hint: Some("give one of those that `airlock tags history` shows") }.into()
        );
    }
    Ok(to.clone())
}

fn rollback(
    store: &StoreArg,
    name: &StoredName,
    (to, force): (Option<&Digest>, bool),
    work: &mut Work<'_>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let store = Store::open_existing(&store.store)?;
    acting(&store, "tags rollback");
    let plan = Rollback::plan(&store, name, to)?;
    work.digests(plan.from.iter().chain([&plan.to]).map(ToString::to_string));
    work.evidence("to", &plan.to);
    if let Some(from) = &plan.from {
        work.evidence("from", from);
    }
    plan.check(&store, force)?;
    let (repository, tag, digest) = (plan.repository.clone(), plan.tag.clone(), plan.to.clone());
    let set = Change::SetTag { repository, tag, digest };
    if force {
        work.evidence("forced", "true");
    }
    store.commit(vec![if force { Change::Overriding(Box::new(set)) } else { set }])?;
    work.done()?;
    printer.report(&plan, |plan| plan.text("moved"))?;
    Ok(Status::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::stored_name;

    fn decide(current: Option<&str>, history: &[Option<&str>], to: Option<&str>) -> Result<Digest, u8> {
        let digest = |name: &str| Digest::sha256(name.as_bytes());
        let change = |to: Option<&str>| TagChange {
            tag: "v1".parse().unwrap(),
            at: 0,
            from: None,
            to: to.map(digest),
            by: None,
        };
        let known: Vec<_> = history.iter().copied().map(change).collect();
        let name = stored_name("a/b:v1").unwrap();
        let found = target(&name, current.map(digest).as_ref(), &known, to.map(digest).as_ref());
        found.map_err(|error| crate::failure::code(&error))
    }

    #[test]
    fn a_rollback_returns_to_the_last_other_manifest_or_to_a_recorded_one() {
        let digest = |name: &str| Ok(Digest::sha256(name.as_bytes()));
        let history = [Some("c"), Some("b"), None, Some("a")];
        assert_eq!(decide(Some("c"), &history, None), digest("b"));
        assert_eq!(decide(Some("c"), &history, Some("a")), digest("a"));
        // A removed tag returns to its last manifest.
        assert_eq!(decide(None, &[None, Some("c"), Some("b")], None), digest("c"));
        assert_eq!(decide(Some("a"), &[Some("a")], None), Err(4));
        assert_eq!(decide(Some("a"), &[], None), Err(4));
        assert_eq!(decide(Some("c"), &history, Some("c")), Err(2));
        assert_eq!(decide(Some("c"), &history, Some("x")), Err(4));
    }
}
