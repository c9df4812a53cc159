//! Replaces random text that is used only in annotations by new text at each render.
//!
//! Charts put `rollme: {{ randAlphaNum 5 | quote }}` into the annotations of pods, so that each upgrade restarts them.
//! If the text were kept like a password, the pods would never restart.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gostd::limits::Limits;
use gostd::yaml;
use serde_json::Value;

use crate::draws::{DrawnKind, DrawnText};
use crate::funcs::random::{letters, uuid};
use crate::function::Random;

/// Shorter text may occur in a file by chance.
const SHORTEST: usize = 4;

/// Draws new text in place of text that occurs in the values of annotations and nowhere else.
pub(super) fn refresh(
    files: &mut BTreeMap<String, String>,
    drawn: &[DrawnText],
    seed: [u8; 32],
    limits: &Limits,
) {
    let mut random = Random::new(seed);
    for old in drawn.iter().filter(|old| old.text.len() >= SHORTEST) {
        let encoded = STANDARD.encode(&old.text);
        if files.values().any(|text| text.contains(encoded.as_str())) {
            continue;
        }
        let within: Vec<String> = files
            .iter()
            .filter(|(_, text)| text.contains(old.text.as_str()))
            .map(|(path, _)| path.clone())
            .collect();
        let only_annotates = |path: &String| {
            let text = files.get(path).map(String::as_str).unwrap_or_default();
            let documents = yaml::documents(text, limits).unwrap_or_default();
            let found: usize = documents.iter().map(|one| annotations(one, &old.text, false)).sum();
            found == text.matches(old.text.as_str()).count()
        };
        if within.iter().all(only_annotates) {
            let new = match old.kind {
                DrawnKind::Text(count, wanted) => letters(&mut random, count, wanted),
                DrawnKind::Uuid => uuid(&mut random),
            };
            for path in within {
                if let Some(text) = files.get_mut(&path) {
                    *text = text.replace(old.text.as_str(), &new);
                }
            }
        }
    }
}

/// How often a text occurs in the annotations of a document.
fn annotations(value: &Value, text: &str, are_these: bool) -> usize {
    match value {
        Value::String(value) if are_these => value.matches(text).count(),
        Value::Array(items) => items.iter().map(|item| annotations(item, text, false)).sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| annotations(value, text, name == "annotations" || are_these))
            .sum(),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{Chart, Options, render};

    fn rendered(template: &str, seed: u8, fresh: u8) -> String {
        let files =
            [("Chart.yaml", "apiVersion: v2\nname: a\nversion: 1.0.0\n"), ("templates/a.yaml", template)];
        let files = files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
        let chart = Chart::from_files(files, &gostd::Limits::default()).unwrap();
        let mut options = Options::new("web", "shop", [seed; 32], Duration::from_hours(500_000));
        options.fresh = Some([fresh; 32]);
        render(&chart, &options).unwrap().manifest_text()
    }

    #[test]
    fn h6_text_only_in_annotations_is_new_at_each_render_and_passwords_are_not() {
        let roll = "kind: Pod\nmetadata:\n  name: a\n  annotations:\n    rollme: {{ randAlphaNum 5 | quote }}\n    id: {{ uuidv4 }}\n    at: 'roll-{{ randAlphaNum 8 }}-{{ randAlpha 6 }}'\n";
        assert_ne!(rendered(roll, 1, 1), rendered(roll, 1, 2));
        assert_eq!(rendered(roll, 1, 1), rendered(roll, 1, 1));
        assert_eq!(rendered(roll, 1, 1).len(), rendered(roll, 1, 2).len());
        for line in rendered(roll, 1, 1).lines().filter(|line| line.starts_with("    ")) {
            assert!(!rendered(roll, 1, 2).contains(line), "{line}");
        }
        let secret = "kind: Secret\nmetadata: {name: a}\nstringData: {password: {{ randAlphaNum 16 }}}\n";
        assert_eq!(rendered(secret, 1, 1), rendered(secret, 1, 2));
        assert_ne!(rendered(secret, 1, 1), rendered(secret, 2, 1));
        // Text that is also used as a password, in any form, is kept.
        for other in
            ["data: {password: {{ $p | b64enc }}}", "data: {url: 'x://u:{{ $p }}@host'}", "a: {{ $p }}"]
        {
            let both = format!(
                "{{{{- $p := randAlphaNum 12 }}}}\nkind: Secret\nmetadata: {{name: a, annotations: {{p: {{{{ $p }}}}}}}}\n{other}\n"
            );
            assert_eq!(rendered(&both, 1, 1), rendered(&both, 1, 2), "{other}");
        }
        let digest =
            "kind: Secret\nmetadata:\n  name: a\n  annotations: {sum: {{ randAlphaNum 9 | sha256sum }}}\n";
        assert_eq!(rendered(digest, 1, 1), rendered(digest, 1, 2));
    }

    #[test]
    fn h6_a_location_keeps_its_value_regardless_of_draws_elsewhere() {
        let password = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.trim().starts_with(name)).unwrap();
            line.split(": ").nth(1).unwrap().to_owned()
        };
        let one = "kind: Secret\nstringData:\n  b: {{ randAlphaNum 16 }}\n";
        let two = "kind: Secret\nstringData:\n  a: {{ randAlphaNum 16 }}\n  b: {{ randAlphaNum 16 }}\n";
        let (one, two) = (rendered(one, 1, 1), rendered(two, 1, 1));
        assert_eq!(password(&one, "b:"), password(&two, "b:"));
        assert_ne!(password(&two, "a:"), password(&two, "b:"));
        // The same within helpers, variables and loops.
        let helper = "{{ define \"p\" }}{{ randAlphaNum 16 }}{{ end }}";
        let of = |names: &[&str]| {
            let lines = names.iter().map(|name| format!("  {name}: {{{{ include \"p\" . }}}}\n"));
            let variables = names.iter().map(|name| format!("{{{{ $v{name} := randAlphaNum 16 }}}}"));
            let shown = names.iter().map(|name| format!("  v{name}: {{{{ $v{name} }}}}\n"));
            let all: String =
                variables.collect::<String>() + "\nstringData:\n" + &lines.chain(shown).collect::<String>();
            rendered(&format!("{helper}kind: Secret\n{all}"), 1, 1)
        };
        let (few, many) = (of(&["b"]), of(&["a", "b", "c"]));
        for name in ["b:", "vb:"] {
            assert_eq!(password(&few, name), password(&many, name), "{few}{many}");
        }
        let of = |names: &str| {
            rendered(
                &format!(
                    "kind: Secret\nstringData:\n{{{{- range list {names} }}}}\n  {{{{ . }}}}: {{{{ randAlpha 16 }}}}\n{{{{- end }}}}\n"
                ),
                1,
                1,
            )
        };
        assert_eq!(password(&of("\"b\""), "b:"), password(&of("\"a\" \"b\""), "b:"));
    }
}
