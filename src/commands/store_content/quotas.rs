//! `airlock store quotas`: what counts towards the quotas of a store.

use oci::RepositoryPattern;
use store::{QuotaUsage, Store};

use crate::failure::Status;
use crate::printer::{Printer, count, size};

pub(super) fn list(store: &Store, printer: &Printer) -> anyhow::Result<Status> {
    printer.result(&store.quotas()?, |found| match &found[..] {
        [] => "the store has no quotas\n".to_owned(),
        found => found.iter().map(line).collect(),
    })?;
    Ok(Status::Done)
}

fn line(QuotaUsage { rule, used }: &QuotaUsage) -> String {
    let patterns: Vec<_> = rule.repositories.iter().map(RepositoryPattern::to_string).collect();
    let bytes = rule.bytes.map_or_else(String::new, |most| format!(" of {}", size(most)));
    let tags = rule.tags.map_or_else(String::new, |most| format!(" of {most}"));
    format!("{}  {}{bytes}, {}{tags}\n", patterns.join(", "), size(used.bytes), count(used.tags, "tag"))
}
