//! A package as text, in the layout of `kubectl describe`.

use k8s_openapi::api::core::v1::Event;
use package_api::Package;
use package_api::conditions::ConditionStatus;
use serde_json::Value;

/// A package and what happened to it.
pub(super) fn text(package: &Package, events: &[Event]) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            out.push_str(&format!("{:<19} {value}\n", format!("{name}:")));
        }
    };
    let (spec, status) = (&package.spec, package.status.clone().unwrap_or_default());
    let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
    line("Name", package.name());
    line("Namespace", package.namespace());
    let created = package.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string());
    line("Created", &created.unwrap_or_default());
    line("Package", &spec.package_name);
    line("Requested version", spec.package_version.as_deref().unwrap_or("latest"));
    line("Target namespace", spec.target_namespace.as_deref().unwrap_or("(the chart's own)"));
    let state = status.state.map(|state| serde_json::to_value(state).unwrap_or_default());
    line("State", state.as_ref().and_then(Value::as_str).unwrap_or_default());
    line("Current version", &status.current_version);
    line("Target version", &or_none(&status.target_version));
    line("Detail", &or_none(&status.detail));
    let source = &status.source;
    if !source.repository.is_empty() {
        line("Chart", &format!("{}:{}", source.repository, source.version));
        line("Chart digest", &source.digest);
    }
    let upgrades = status.upgrades_available.iter().flatten().map(|upgrade| upgrade.version.as_str());
    line("Upgrades available", &upgrades.collect::<Vec<_>>().join(", "));
    if package.metadata.deletion_timestamp.is_some() {
        line("Deleted", "yes: what it installed is being deleted");
    }
    section(&mut out, "Config", spec.config.iter().flat_map(|config| config.lines()).map(str::to_owned));
    let conditions = status.conditions.iter().flatten().map(|condition| {
        let is = match condition.status {
            ConditionStatus::True => "yes",
            ConditionStatus::False => "no",
            ConditionStatus::Unknown => "unknown",
        };
        format!(
            "{:<9} {is:<7} {:<12} {} {}",
            condition.kind, condition.reason, condition.last_transition_time, condition.message
        )
    });
    section(&mut out, "Conditions", conditions);
    section(&mut out, "Events", events.iter().map(event));
    if events.is_empty() {
        out.push_str("Events:             (none)\n");
    }
    out
}

fn section(out: &mut String, name: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        out.push_str(&format!("{name}:\n"));
    }
    for line in lines {
        out.push_str(format!("  {line}").trim_end());
        out.push('\n');
    }
}

fn event(event: &Event) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let last = event.last_timestamp.as_ref().map(|time| time.0.to_string());
    let time = last.or_else(|| event.event_time.as_ref().map(|time| time.0.to_string())).unwrap_or_default();
    let count = event.count.or_else(|| event.series.as_ref().and_then(|series| series.count)).unwrap_or(1);
    let times = if count > 1 { format!(" ({count} times)") } else { String::new() };
    format!("{time} {:<7} {:<20} {}{times}", text(&event.type_), text(&event.reason), text(&event.message))
}

#[cfg(test)]
mod tests {
    use package_api::{PackageSpec, PackageState, PackageStatus};

    use super::*;

    #[test]
    fn a_package_is_described_with_what_happened_to_it() {
        let mut package = Package::new(
            "harbor",
            PackageSpec {
                package_name: "harbor".to_owned(),
                config: Some("a: 1\nb: 2\n".to_owned()),
                ..PackageSpec::default()
            },
        );
        package.status = Some(PackageStatus {
            state: Some(PackageState::InstallingDependencies),
            detail: Some("Waiting for dependencies: base".to_owned()),
            ..PackageStatus::default()
        });
        let happened = Event {
            reason: Some("Waiting".to_owned()),
            message: Some("base is not installed yet".to_owned()),
            type_: Some("Normal".to_owned()),
            count: Some(3),
            ..Event::default()
        };
        let text = text(&package, &[happened]);
        for line in [
            "Name:               harbor",
            "State:              installing dependencies",
            "Detail:             Waiting for dependencies: base",
            "  b: 2",
            "Normal  Waiting              base is not installed yet (3 times)",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
