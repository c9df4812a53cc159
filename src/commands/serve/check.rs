//! `airlock serve --check`: checks a configuration as a start does, and explains it, without changing anything.

use bundle_signer::Gate;
use registry::server::Auth;
use serde_json::{Value, json};
use store::{Rules, Store};

use super::Serve;
use super::access::Anonymous;
use super::load::{Loaded, load};
use super::plan::{Listen, Plan, Security, described};
use super::start::Configured;
use crate::failure::Status;
use crate::printer::{Printer, count, size};

pub(super) fn run(settings: &Serve, configured: Configured, printer: &Printer) -> anyhow::Result<Status> {
    let Configured { plan, mut sources } = configured;
    plan.check()?;
    let loaded = load(&plan, &mut sources, printer)?;
    if !settings.create && !Store::is_at(&plan.store) {
        return Err(store::Error::Absent(plan.store).into());
    }
    let mut value = described(&plan);
    let trust = loaded.trust.as_ref().map(|trust| {
        let gates = [Gate::Push, Gate::Pull];
        let gates = gates.iter().filter(|gate| !trust.file.required_statements(**gate).is_empty());
        let gates: Vec<String> = gates.map(ToString::to_string).collect();
        json!({ "file": trust.path, "sequence": trust.file.sequence(), "gates": gates })
    });
    value["trust"] = trust.into();
    if let Auth::Htpasswd { users, .. } = &loaded.auth {
        value["access"]["users"] = users.len().into();
    }
    printer.result(&value, |value| explained(&plan, &loaded, value))?;
    Ok(Status::Done)
}

fn explained(plan: &Plan, loaded: &Loaded, value: &Value) -> String {
    let mut text = "the configuration is valid\n".to_owned();
    let mut line = |name: &str, content: &str| text += &format!("{name:<26} {content}\n");
    line("store", &plan.store.display().to_string());
    for listener in &plan.listeners {
        line("listen", &listener_text(plan, listener));
    }
    let (pull, push) = match &loaded.auth {
        Auth::Htpasswd { users, .. } => {
            let users = count(users.len() as u64, "user");
            let everyone = plan.access.anonymous == Some(Anonymous::Pull);
            (if everyone { "everyone".to_owned() } else { users.clone() }, users)
        }
        Auth::Anonymous => ("everyone".to_owned(), "everyone who can reach the registry".to_owned()),
        Auth::Policies(_) => ("by policies".to_owned(), "by policies".to_owned()),
    };
    line("pull", &pull);
    line("push, delete", if plan.read_only { "no one: the registry is read-only" } else { &push });
    if let Some(trust) = &loaded.trust {
        let gates: Vec<_> =
            value["trust"]["gates"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let gates =
            if gates.is_empty() { "no gates".to_owned() } else { format!("gates: {}", gates.join(", ")) };
        line(
            "trust file",
            &format!("{} (sequence {}; {gates})", trust.path.display(), trust.file.sequence()),
        );
    }
    if let Some(inbox) = value["inbox"].as_object() {
        let limits: Vec<_> = inbox.iter().map(|(name, limit)| format!("{name} {limit}")).collect();
        line("inbox", &limits.join(", "));
    }
    if let Some(scrub) = &plan.scrub {
        let rate = scrub.rate.map_or_else(String::new, |rate| format!(", at most {} per second", size(rate)));
        line("scrub", &format!("every {} s{rate}", scrub.every.as_secs()));
    }
    for line_text in plan.rules.iter().flat_map(|rules| rules_text(&rules.rules)) {
        line(line_text.0, &line_text.1);
    }
    for proxy in &plan.proxies {
        line("trusted proxy", &proxy.to_string());
    }
    for (name, limit) in value["limits"].as_object().into_iter().flatten() {
        line(&format!("limit {name}"), &limit.to_string());
    }
    text
}

/// The rules of the store, each with its name.
fn rules_text(rules: &Rules) -> Vec<(&'static str, String)> {
    fn listed<T: ToString>(patterns: &[T]) -> String {
        patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
    let mut lines = Vec::new();
    for rule in &rules.immutable_tags {
        let except =
            if rule.except.is_empty() { String::new() } else { format!(" except {}", listed(&rule.except)) };
        lines.push((
            "immutable tags",
            format!("{} in {}{except}", listed(&rule.tags), listed(&rule.repositories)),
        ));
    }
    for rule in &rules.quotas {
        let limits = rule.bytes.map(size).into_iter().chain(rule.tags.map(|tags| count(tags, "tag")));
        let limits = limits.collect::<Vec<_>>().join(", ");
        lines.push(("quota", format!("{limits} in {}", listed(&rule.repositories))));
    }
    lines.extend(rules.retention.rules.iter().map(|rule| ("retention", listed(&rule.repositories))));
    lines
}

fn listener_text(plan: &Plan, listener: &Listen) -> String {
    let url = listener.url(&listener.at);
    let clients = listener.client_ca.as_deref();
    let clients = clients.map(|path| format!(", clients of {}", path.display())).unwrap_or_default();
    match &listener.security {
        Security::Plain { .. } => url,
        Security::Files { cert, .. } => format!("{url} (certificate {}{clients})", cert.display()),
        Security::SelfSigned => {
            let names = ["localhost".to_owned()].into_iter().chain(plan.authority.names.iter().cloned());
            let names: Vec<_> = names.collect();
            format!(
                "{url} (certificate for {} from the CA in {}{clients})",
                names.join(", "),
                plan.authority_folder().display()
            )
        }
    }
}
