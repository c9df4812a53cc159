//! The sections `immutableTags`, `quotas` and `retention` of the configuration file: the rules of the store.

use std::path::Path;
use std::time::Duration;

use oci::{RepositoryPattern, TagPattern};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{QuotaRule, RetentionRule, RetentionRules, Rules, TagRule};

use super::sources::Sources;
use super::{Form, document};
use crate::cli::duration;
use crate::failure::Usage;

/// How long an untagged manifest stays if the file does not say.
const UNTAGGED: Duration = Duration::from_hours(24);
/// The minimum interval of retention.
const SHORTEST: Duration = Duration::from_mins(1);

/// Tags that cannot be moved or removed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ImmutableTags")]
pub(super) struct ImmutableText {
    /// Patterns of repository names: `*` matches within a path segment, `**` across segments.
    repositories: Vec<String>,
    /// Patterns of tags: `*` matches any text. Tags of signatures and other referrers never match.
    tags: Vec<String>,
    /// Patterns of tags that can be moved and removed nevertheless.
    #[serde(default)]
    except: Vec<String>,
}

/// A limit for the content of all repositories that match, together.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Quota")]
pub(super) struct QuotaText {
    /// Patterns of repository names.
    repositories: Vec<String>,
    /// The maximum size of their blobs and manifests, each counted once, in MiB.
    #[serde(rename = "contentMiB")]
    content: Option<u64>,
    /// The maximum number of their tags.
    tags: Option<u64>,
}

/// Which tags are kept.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Retention")]
pub(super) struct RetentionText {
    /// How often the registry removes what no rule keeps, such as `24h`. Without it, only `airlock store retention` does.
    interval: Option<String>,
    /// How long a manifest of these repositories stays after it was pushed or lost its last tag. Default: `24h`.
    untagged: Option<String>,
    /// The rules. In repositories that no rule names, nothing is removed.
    rules: Vec<RetentionRuleText>,
}

/// Keeps some tags of repositories. A tag stays if one rule about its repository keeps it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RetentionRule")]
struct RetentionRuleText {
    /// Patterns of repository names.
    repositories: Vec<String>,
    /// What is kept: at least one of these.
    keep: KeepText,
}

/// What a rule keeps.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Keep")]
struct KeepText {
    /// This many of the most recently set tags.
    #[schemars(range(min = 1))]
    newest: Option<u64>,
    /// Tags that were set within this time, such as `720h`.
    newer_than: Option<String>,
    /// Patterns of tags.
    #[serde(default)]
    tags: Vec<String>,
    /// Tags whose manifests were pulled within this time. Pulls are recorded to the day.
    pulled_within: Option<String>,
}

/// The sections, parsed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct StoreRules {
    pub(super) rules: Rules,
    /// How often the registry applies retention.
    pub(super) interval: Option<Duration>,
}

/// Parses the sections. The error names the section.
pub(super) fn parse(
    immutable: Vec<ImmutableText>,
    quotas: Vec<QuotaText>,
    retention: Option<RetentionText>,
) -> Result<StoreRules, String> {
    let mut found = StoreRules::default();
    for text in immutable {
        let section = "immutableTags";
        let (repositories, tags) = (patterns(section, &text.repositories)?, tags(section, &text.tags)?);
        if tags.is_empty() {
            return Err(format!("`{section}`: `tags` is empty, expected at least one pattern"));
        }
        let except = self::tags(section, &text.except)?;
        found.rules.immutable_tags.push(TagRule { repositories, tags, except });
    }
    for QuotaText { repositories, content, tags } in quotas {
        if content.is_none() && tags.is_none() {
            return Err(
                "`quotas`: a quota has neither `contentMiB` nor `tags`, expected at least one".to_owned()
            );
        }
        let bytes = content.map(|mib| mib.saturating_mul(1 << 20));
        let repositories = patterns("quotas", &repositories)?;
        found.rules.quotas.push(QuotaRule { repositories, bytes, tags });
    }
    let Some(text) = retention else { return Ok(found) };
    let time = |name: &str, text: Option<&String>| {
        let parsed = text.map(|text| duration(text)).transpose();
        parsed.map_err(|error| format!("`retention`: `{name}`: {error}"))
    };
    found.interval = time("interval", text.interval.as_ref())?;
    if found.interval.is_some_and(|interval| interval < SHORTEST) {
        return Err("`retention`: `interval` is too short, expected at least `1m`".to_owned());
    }
    let untagged = time("untagged", text.untagged.as_ref())?.unwrap_or(UNTAGGED);
    let mut rules = Vec::new();
    for RetentionRuleText { repositories, keep } in text.rules {
        let rule = RetentionRule {
            repositories: patterns("retention", &repositories)?,
            newest: keep.newest,
            newer_than_seconds: time("newerThan", keep.newer_than.as_ref())?.map(|time| time.as_secs()),
            tags: tags("retention", &keep.tags)?,
            pulled_within_seconds: time("pulledWithin", keep.pulled_within.as_ref())?
                .map(|time| time.as_secs()),
        };
        let keeps_nothing = rule.newest.is_none_or(|newest| newest == 0)
            && rule.newer_than_seconds.is_none()
            && rule.tags.is_empty()
            && rule.pulled_within_seconds.is_none();
        if keeps_nothing {
            return Err("`retention`: a rule keeps nothing, so it would remove every tag".to_owned());
        }
        rules.push(rule);
    }
    found.rules.retention = RetentionRules { untagged_seconds: untagged.as_secs(), rules };
    Ok(found)
}

fn patterns(section: &str, texts: &[String]) -> Result<Vec<RepositoryPattern>, String> {
    if texts.is_empty() {
        return Err(format!("`{section}`: `repositories` is empty, expected at least one pattern"));
    }
    let parsed = texts.iter().map(|text| text.parse()).collect::<Result<_, oci::Error>>();
    parsed.map_err(|error| format!("`{section}`: {error}"))
}

fn tags(section: &str, texts: &[String]) -> Result<Vec<TagPattern>, String> {
    let parsed = texts.iter().map(|text| text.parse()).collect::<Result<_, oci::Error>>();
    parsed.map_err(|error| format!("`{section}`: {error}"))
}

/// The rules in a configuration file, for commands that plan with them.
pub(crate) fn rules_of(path: &Path) -> anyhow::Result<Rules> {
    let plan = document::parse(&Sources::default().read(path)?, path)?;
    let missing = || Usage {
        message: format!("`{}` has no rules for a store", path.display()),
        hint: "add `immutableTags`, `quotas` or `retention`: docs/space.md",
    };
    Ok(plan.rules.filter(|_| plan.form == Form::File).ok_or_else(missing)?.rules)
}

/// As `--check` prints them.
pub(super) fn described(rules: &StoreRules) -> Value {
    json!({
        "immutableTags": rules.rules.immutable_tags,
        "quotas": rules.rules.quotas,
        "retention": rules.rules.retention,
        "retentionIntervalSeconds": rules.interval.map(|interval| interval.as_secs()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<StoreRules, String> {
        let head = "apiVersion: airlock.dev/v1alpha1\nkind: RegistryConfig\nstore: store\n";
        let plan = document::parse(&format!("{head}{text}\n"), Path::new("registry.yaml"));
        plan.map(|plan| plan.rules.unwrap_or_default()).map_err(|error| error.message)
    }

    #[test]
    fn the_sections_become_rules() {
        let found = read(
            "immutableTags: [{repositories: ['team/**'], tags: ['v*'], except: [v0]}]\n\
             quotas: [{repositories: ['team/**'], contentMiB: 2, tags: 9}]\n\
             retention: {interval: 24h, rules: [{repositories: [a], keep: {newest: 3, newerThan: 48h}}]}",
        )
        .unwrap();
        assert_eq!(found.interval, Some(Duration::from_hours(24)));
        let Rules { immutable_tags, quotas, retention } = found.rules;
        assert_eq!((immutable_tags.len(), quotas[0].bytes, quotas[0].tags), (1, Some(2 << 20), Some(9)));
        assert_eq!(retention.untagged_seconds, 24 * 3600);
        let rule = &retention.rules[0];
        assert_eq!((rule.newest, rule.newer_than_seconds), (Some(3), Some(48 * 3600)));
        assert_eq!(read("").unwrap(), StoreRules::default());
    }

    #[test]
    fn rules_that_cannot_be_meant_are_refused() {
        let keep = |keep: &str| format!("retention: {{rules: [{{repositories: [a], keep: {keep}}}]}}");
        for (text, words) in [
            ("immutableTags: [{repositories: [], tags: ['*']}]".to_owned(), "`repositories` is empty"),
            ("immutableTags: [{repositories: [a], tags: []}]".to_owned(), "`tags` is empty"),
            ("immutableTags: [{repositories: [A], tags: ['*']}]".to_owned(), "pattern of repository names"),
            ("immutableTags: [{repositories: [a], tags: ['v[0-9]']}]".to_owned(), "pattern of tags"),
            ("quotas: [{repositories: [a]}]".to_owned(), "neither `contentMiB` nor `tags`"),
            ("quotas: [{repositories: [a], content: 1}]".to_owned(), "unknown field `content`"),
            (keep("{}"), "a rule keeps nothing"),
            (keep("{newest: 0}"), "a rule keeps nothing"),
            (keep("{newerThan: 3x}"), "`newerThan`"),
            ("retention: {interval: 1s, rules: []}".to_owned(), "too short"),
        ] {
            let message = read(&text).unwrap_err();
            assert!(message.contains(words), "{text}: {message}");
        }
    }
}
