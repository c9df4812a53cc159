//! `airlock store rm`: removes names from a store. `store gc` then frees the space.

use std::collections::BTreeSet;

use clap::Args;
use oci::{Digest, Selector, Tag};
use packager::witness::Witness;
use serde::Serialize;
use store::{Change, Protection, Store};

use crate::cli::{StoreArg, StoredName, stored_name};
use crate::failure::{Missing, Protected, Status};
use crate::logged::{Work, acting};
use crate::printer::{Printer, count};

/// The maximum number of names in a message.
const MAX_NAMED: usize = 5;

#[derive(Debug, Args)]
#[command(
    after_help = "A tag's manifest stays until it is removed, too. The space is freed by `airlock store gc`.\n\
                        Example: airlock store rm team/app:v1 --dry-run --store store"
)]
pub(crate) struct Remove {
    /// A tag, a manifest with the tags on it, or a whole repository.
    #[arg(value_name = "REPOSITORY[:TAG|@DIGEST]", value_parser = stored_name)]
    pub(super) name: StoredName,
    #[command(flatten)]
    pub(super) store: StoreArg,
    /// Print what would be removed, without removing it.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Remove it even if a drive brought it, an index lists it, a rule makes its tag immutable, or it is protected.
    #[arg(long)]
    force: bool,
}

/// What is removed, and what speaks against it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Removal {
    name: String,
    tags: Vec<Tag>,
    manifests: Vec<Digest>,
    /// The tags that a drive set to what they are now.
    brought: Vec<String>,
    /// The indexes that list the manifest.
    indexes: Vec<Digest>,
    /// The tags that a rule makes immutable.
    immutable: Vec<Tag>,
    /// The protections of what is removed.
    protections: Vec<Protection>,
}

impl Removal {
    fn plan(store: &Store, name: &StoredName) -> anyhow::Result<Self> {
        let repository = &name.repository;
        let exists = match &name.selector {
            None => store.repository_exists(repository)?,
            Some(selector) => store.resolve(repository, selector)?.is_some(),
        };
        if !exists {
            let message = format!("the store has nothing named `{name}`");
            return Err(Missing { message, hint: Some("`airlock store list` shows the names") }.into());
        }
        let mut tags = store.tags(repository, None, None)?;
        let (mut manifests, mut indexes) = (Vec::new(), Vec::new());
        match &name.selector {
            None => manifests.extend(store.manifests(repository)?.into_iter().map(|row| row.digest)),
            Some(Selector::Tag(tag)) => tags.retain(|(other, _)| other == tag),
            Some(Selector::Digest(digest)) => {
                tags.retain(|(_, target)| target == digest);
                manifests.push(digest.clone());
                indexes = store.manifests_naming(repository, digest, MAX_NAMED)?;
            }
        }
        let brought = brought(store, name, &tags)?;
        let rules = store.rules()?;
        let tags: Vec<Tag> = tags.into_iter().map(|(tag, _)| tag).collect();
        let immutable = tags.iter().filter(|tag| rules.are_immutable(repository, tag)).cloned().collect();
        let protections = store.protections_of(repository, name.selector.as_ref())?;
        Ok(Self { name: name.to_string(), tags, manifests, brought, indexes, immutable, protections })
    }

    /// Fails if something speaks against the removal.
    fn check(&self) -> Result<(), Protected> {
        let name = &self.name;
        if let Some(Protection { source, reason, .. }) = self.protections.first() {
            let message = format!("`{name}` cannot be removed, because {source} protects it: {reason}");
            return Err(Protected {
                message,
                hint: "end the protection with `airlock store unprotect`, or use --force",
            });
        }
        if let Some(tag) = self.immutable.first() {
            let message = format!("`{name}` cannot be removed, because the tag `{tag}` is immutable");
            let hint =
                "the rule is in the registry's configuration file; to remove the tag anyway, use --force";
            return Err(Protected { message, hint });
        }
        if let Some(first) = self.indexes.first() {
            let message = format!("`{name}` is listed by the index `{first}`");
            let hint = "remove the index instead; with --force, the index stays and lacks this manifest";
            return Err(Protected { message, hint });
        }
        if self.brought.is_empty() {
            return Ok(());
        }
        let mut names: Vec<_> = self.brought.iter().take(MAX_NAMED).map(|tag| format!("`{tag}`")).collect();
        match self.brought.len() - names.len() {
            0 => {}
            more => names.push(format!("{more} more")),
        }
        let message = format!("`{name}` cannot be removed, because a drive brought {}", names.join(", "));
        Err(Protected {
            message,
            hint: "to remove it anyway, use --force; `airlock import` of the drive restores it",
        })
    }

    /// Whether something speaks against the removal.
    fn is_disputed(&self) -> bool {
        let Self { brought, indexes, immutable, protections, .. } = self;
        !(brought.is_empty() && indexes.is_empty() && immutable.is_empty() && protections.is_empty())
    }

    fn change(name: &StoredName, force: bool) -> Change {
        let repository = name.repository.clone();
        let change = match name.selector.clone() {
            None => Change::DeleteRepository { repository },
            Some(Selector::Tag(tag)) => Change::DeleteTag { repository, tag },
            Some(Selector::Digest(digest)) => Change::DeleteManifest { repository, digest },
        };
        if force { Change::Overriding(Box::new(change)) } else { change }
    }

    fn text(&self, verb: &str) -> String {
        let tags = self.tags.iter().map(|tag| format!("tag {tag}\n")).collect::<String>();
        let manifests =
            self.manifests.iter().map(|digest| format!("manifest {digest}\n")).collect::<String>();
        let (tag, manifest) = (count(self.tags.len(), "tag"), count(self.manifests.len(), "manifest"));
        format!("{tags}{manifests}{verb} {}: {tag}, {manifest}\n", self.name)
    }
}

/// The names of the tags that drives set to what they are now. A tag keeps its manifest, so both count as brought.
fn brought(store: &Store, name: &StoredName, tags: &[(Tag, Digest)]) -> anyhow::Result<Vec<String>> {
    let known: BTreeSet<(String, Digest)> = Witness::of(store).drive_tags()?.into_iter().collect();
    let named = tags.iter().map(|(tag, digest)| (format!("{}:{tag}", name.repository), digest.clone()));
    Ok(named.filter(|tag| known.contains(tag)).map(|(name, _)| name).collect())
}

pub(super) fn preview(settings: &Remove, printer: &Printer) -> anyhow::Result<Status> {
    let plan = Removal::plan(&Store::open_to_read(&settings.store.store)?, &settings.name)?;
    printer.result(&plan, |plan| plan.text("would remove"))?;
    if !settings.force {
        plan.check()?;
    }
    Ok(Status::Done)
}

pub(super) fn remove(settings: &Remove, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let store = Store::open_existing(&settings.store.store)?;
    acting(&store, "store rm");
    work.name(&settings.name.to_string());
    let plan = Removal::plan(&store, &settings.name)?;
    work.digests(plan.manifests.iter().map(ToString::to_string));
    if !settings.force {
        plan.check()?;
    }
    work.evidence("tags", &plan.tags.len());
    if plan.is_disputed() {
        work.evidence("forced", "true");
    }
    store.commit(vec![Removal::change(&settings.name, settings.force)])?;
    work.done()?;
    printer.report(&plan, |plan| plan.text("removed"))?;
    Ok(Status::Done)
}
