//! Adds the rules to the mirror file's JSON Schema that its types cannot express, so that the schema accepts what the
//! parser accepts. Only the parser detects duplicates, invalid regular expressions and names that are too long.

use serde_json::{Value, json};

const LABEL: &str = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?";
const PORT: &str = ":0*([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
const PART: &str = "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*";
/// A path segment that cannot be mistaken for a host.
const FOLDER: &str = "[a-z0-9]+((_|__|-+)[a-z0-9]+)*";
const TAG: &str = "(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?";
const DIGEST: &str = "(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})";
const PLATFORM: &str = "^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)?$";

fn host() -> String {
    format!("({LABEL}(\\.{LABEL})*({PORT})?|\\[[0-9A-Fa-f:.]+\\]({PORT})?)")
}

fn repository() -> String {
    format!("{PART}(/{PART})*")
}

/// `HOST[:PORT][/REPOSITORY]`.
fn host_and_prefix() -> String {
    format!("^{}(/{})?$", host(), repository())
}

/// A reference as its parser reads it: the part before the first slash is a host if it contains a dot or a colon, or
/// is `localhost`.
fn reference() -> String {
    tagged(&format!("{TAG}(@{DIGEST})?"))
}

/// A chart reference; its tag may be a version with `+`.
fn chart_reference() -> String {
    let version = TAG.replace("A-Za-z0-9_]", "A-Za-z0-9_+]").replace("._-]", "._+-]");
    tagged(&format!("({TAG}(@{DIGEST})?|{version})"))
}

/// A reference's name with the given suffix.
fn tagged(end: &str) -> String {
    // Hosts in references are lower-case.
    let label = LABEL.replace("A-Z", "");
    let marked =
        format!("(localhost|{label}(\\.{label})*{PORT}|{label}(\\.{label})+|\\[[0-9A-Fa-f:.]+\\]({PORT})?)");
    let name = format!("({marked}/{}|{PART}|{FOLDER}/{})", repository(), repository());
    format!("^{name}{end}$")
}

/// Requires a member that is not null.
fn given(name: &str) -> Value {
    json!({ "required": [name], "properties": { name: { "not": { "type": "null" } } } })
}

fn one_of(names: &[&str]) -> Value {
    json!({ "oneOf": names.iter().map(|name| given(name)).collect::<Vec<_>>() })
}

/// Adds a rule to a definition.
fn rule(schema: &mut Value, of: &str, rule: Value) {
    let definition = &mut schema["$defs"][of];
    if let Some(rules) = definition["allOf"].as_array_mut() {
        rules.push(rule);
    } else {
        definition["allOf"] = json!([rule]);
    }
}

fn pattern(schema: &mut Value, at: &str, pattern: &str) {
    if let Some(member) = schema.pointer_mut(at) {
        member["pattern"] = json!(pattern);
    }
}

/// The schema with all rules.
pub(super) fn complete(mut schema: Value) -> Value {
    schema["properties"]["apiVersion"]["const"] = json!(super::API_VERSION);
    schema["properties"]["kind"]["const"] = json!(super::KIND);
    let chart = chart_reference();
    let (whole, reference, prefix) = (format!("^{}$", host()), reference(), host_and_prefix());
    for (at, text) in [
        ("/$defs/Metadata/properties/name", "^[a-z0-9][a-z0-9.-]{0,63}$"),
        ("/properties/platforms/items", PLATFORM),
        ("/$defs/RegistryText/properties/host", &whole),
        ("/$defs/RegistryText/properties/mirror", &prefix),
        ("/$defs/SourceText/properties/images/items", &reference),
        ("/$defs/ChartText/properties/reference", &chart),
        ("/$defs/ArchiveText/properties/reference", &reference),
        ("/$defs/BundleText/properties/reference", &reference),
        ("/$defs/BundleText/properties/registry", &prefix),
        ("/$defs/AbsentText/properties/image", &reference),
        ("/$defs/AbsentText/properties/layer", &format!("^{DIGEST}$")),
        ("/$defs/ForeignText/properties/urls/items", "^[Hh][Tt][Tt][Pp][Ss]?://.*/$"),
        ("/$defs/FileText/properties/sha256", "^[0-9a-f]{64}$"),
        ("/$defs/FileText/properties/sha512", "^[0-9a-f]{128}$"),
        ("/$defs/FileText/properties/url", URL),
        ("/$defs/ReleaseText/properties/url", URL),
        ("/$defs/LocationText/properties/url", URL),
    ] {
        pattern(&mut schema, at, text);
    }
    for list in ["images", "charts", "files"] {
        schema["$defs"]["SourceText"]["properties"][list]["minItems"] = json!(1);
    }
    rules(&mut schema);
    schema
}

/// A file URL: without user information, or with user information that has no slashes.
const URL: &str = "^[Hh][Tt][Tt][Pp][Ss]?://([^/?#\\s\\\\]*@)?([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]*)?([/?#][^\\s\\\\]*)?$";

fn rules(schema: &mut Value) {
    const KINDS: [&str; 8] = [
        "eksdRelease",
        "packageBundle",
        "images",
        "charts",
        "files",
        "ociLayout",
        "ociArchive",
        "dockerArchive",
    ];
    rule(schema, "SourceText", one_of(&KINDS));
    let verified = ["eksdRelease", "packageBundle", "images", "charts"].map(given);
    rule(schema, "SourceText", json!({ "if": given("verify"), "then": { "anyOf": verified } }));
    let in_registry = json!({ "properties": { "charts": { "items": given("reference") } } });
    let charts = json!({ "allOf": [given("verify"), given("charts")] });
    rule(schema, "SourceText", json!({ "if": charts, "then": in_registry }));
    let none = |name: &str| json!({ "not": given(name) });
    for eks in ["eksdRelease", "packageBundle"] {
        let own = json!({ "allOf": [given("verify"), given(eks)] });
        let key = json!({ "allOf": [given("key"), none("name")] });
        let checked = json!({ "properties": { "unverified": { "const": false } } });
        rule(
            schema,
            "SourceText",
            json!({ "if": own, "then": { "properties": { "verify": key, eks: checked } } }),
        );
    }
    rule(schema, "VerifyText", one_of(&["key", "identity"]));
    rule(schema, "IdentityText", one_of(&["subject", "subjectRegexp"]));
    for (of, names) in [
        ("ChartText", ["reference", "file"]),
        ("FileText", ["path", "url"]),
        ("LocationText", ["file", "url"]),
        ("ReleaseText", ["file", "url"]),
        ("BundleText", ["file", "reference"]),
    ] {
        rule(schema, of, one_of(&names));
    }
    let sums = json!({ "anyOf": [given("sha256"), given("sha512")] });
    rule(schema, "FileText", json!({ "if": given("url"), "then": sums }));
    rule(schema, "ArchiveText", json!({ "if": given("image"), "then": given("reference") }));
    let unverified = json!({ "required": ["unverified"], "properties": { "unverified": { "const": true } } });
    rule(schema, "ReleaseText", json!({ "oneOf": [given("bundles"), unverified] }));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Map, Value, json};

    use crate::config::MirrorConfig;

    const SHA256: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    const REFERENCES: &[&str] = &[
        "a",
        "a:b",
        "a/b",
        "MyOrg/app",
        "docker://a",
        "r.io/a:b",
        "r.io:5000/a",
        "r.io:99999/a",
        "a b",
        "",
        "r_x.io/a",
        "localhost/a",
        "localhost:1/a",
        "a.b",
        "a.b:c",
        "-a.io/b",
        "a/B",
        "a/b:-c",
        "R.io/a",
        "a//b",
        "u:p@r.io/a",
    ];

    /// Sources of each kind, valid and invalid.
    fn sources() -> Vec<Value> {
        let file = |more: Value| {
            let mut file = json!({ "url": "https://h.io/x" });
            file.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({ "files": [file] })
        };
        let mut all: Vec<Value> =
            REFERENCES.iter().map(|reference| json!({ "images": [reference] })).collect();
        all.push(json!({ "images": [format!("r.io/a@sha256:{SHA256}")] }));
        all.push(json!({ "images": [format!("r.io/a:b@sha256:{}", &SHA256[1..])] }));
        for charts in [
            json!([]),
            json!([{}]),
            json!([{ "file": "a.tgz" }]),
            json!([{ "file": "a.tgz", "reference": "r.io/a" }]),
            json!([{ "reference": "r.io/a:1" }]),
            json!([{ "reference": "r.io/a:1.0.0+b" }]),
            json!([{ "reference": "r.io/a:+b" }]),
            json!([{ "reference": "r.io/a+b" }]),
            json!([{ "reference": format!("r.io/a:1+b@sha256:{SHA256}") }]),
            json!([{ "reference": "R/a" , "images": false }]),
            json!([{ "reference": "a", "set": ["a=b"], "values": ["v"], "skipSchemaValidation": true }]),
            json!([{ "file": "a", "images": "yes" }]),
            json!([{ "file": "a", "imagePatterns": ["(a)"] }]),
        ] {
            all.push(json!({ "charts": charts }));
        }
        for more in [
            json!({}),
            json!({ "sha256": SHA256 }),
            json!({ "sha512": SHA256 }),
            json!({ "sha256": SHA256, "path": "a" }),
            json!({ "sha256": SHA256.to_uppercase() }),
            json!({ "sha256": SHA256, "name": "a b" }),
            json!({ "sha256": SHA256, "url": "ftp://h/x" }),
            json!({ "sha256": SHA256, "url": "https://u:p@h.io/x?y#z" }),
            json!({ "sha256": SHA256, "url": "https:///x" }),
            json!({ "sha256": SHA256, "url": "https://h.io/a b" }),
            json!({ "sha256": SHA256, "extra": 1 }),
            json!({ "url": null, "path": "a" }),
            json!({ "url": null }),
        ] {
            all.push(file(more));
        }
        all.extend(others());
        all
    }

    fn others() -> Vec<Value> {
        let mut all = Vec::new();
        for archive in [
            json!({ "path": "a" }),
            json!({ "path": "a", "image": "b" }),
            json!({}),
            json!({ "path": "a", "reference": "A" }),
            json!({ "path": "a", "image": "b", "reference": "r.io/c:d" }),
        ] {
            for kind in ["ociLayout", "ociArchive", "dockerArchive"] {
                all.push(json!({ kind: archive }));
            }
        }
        for release in [
            json!({ "file": "a" }),
            json!({ "file": "a", "unverified": true }),
            json!({ "unverified": true }),
            json!({ "url": "https://h.io/a", "bundles": { "file": "b" } }),
            json!({ "url": "x", "unverified": true }),
            json!({ "file": "a", "bundles": { "file": "b" }, "unverified": true }),
            json!({ "file": "a", "bundles": { "file": "b" }, "unverified": false }),
            json!({ "file": "a", "bundles": {} }),
            json!({ "file": "a", "bundles": { "file": "b", "url": "https://h/" } }),
        ] {
            all.push(json!({ "eksdRelease": release }));
        }
        for bundle in [
            json!({}),
            json!({ "file": "a" }),
            json!({ "reference": "r.io/a:b" }),
            json!({ "reference": "A/a:b" }),
            json!({ "file": "a", "reference": "b" }),
            json!({ "file": "a", "registry": "r.io/x" }),
            json!({ "file": "a", "registry": "r_io" }),
            json!({ "file": "a", "unverified": true }),
        ] {
            all.push(json!({ "packageBundle": bundle }));
        }
        all.extend([
            json!({}),
            json!({ "images": ["a"], "files": [{ "path": "x" }] }),
            json!({ "images": null }),
        ]);
        all.extend([
            json!({ "images": [] }),
            json!({ "files": [] }),
            json!({ "other": 1 }),
            json!({ "images": "a" }),
        ]);
        all
    }

    fn verifies() -> Vec<Value> {
        vec![
            json!({ "key": "a.pub" }),
            json!({}),
            json!({ "key": "a.pub", "identity": { "subject": "a", "issuer": "b" } }),
            json!({ "identity": { "subject": "a", "issuer": "b" } }),
            json!({ "identity": { "issuer": "b" } }),
            json!({ "identity": { "subject": "a", "subjectRegexp": "b", "issuer": "b" } }),
            json!({ "key": "a.pub", "name": "r.io/a" }),
            json!({ "identity": { "subject": "a" } }),
            Value::Null,
        ]
    }

    fn heads() -> Vec<(&'static str, Value)> {
        vec![
            ("apiVersion", json!("v1")),
            ("kind", json!("Other")),
            ("metadata", json!({ "name": "../a" })),
            ("metadata", json!({ "name": "A" })),
            ("metadata", json!({ "name": "a.b-1" })),
            ("metadata", json!({})),
            ("metadata", json!({ "name": "a".repeat(65) })),
            ("sources", json!([])),
            ("extra", json!(1)),
            ("platforms", json!(["linux/amd64", "linux/arm/v7"])),
            ("platforms", json!(["linux"])),
            ("platforms", json!(["linux//v7"])),
            ("platforms", json!([])),
            ("platforms", json!("linux/amd64")),
            ("registries", json!([{ "host": "a.io" }])),
            ("registries", json!([{ "host": "a_b" }])),
            ("registries", json!([{ "host": "a.io", "mirror": "b:5000/x/y", "plainHTTP": true }])),
            ("registries", json!([{ "host": "a.io", "mirror": "b:5000/X" }])),
            ("registries", json!([{}])),
            ("registries", json!([{ "host": "a.io", "plainHttp": true }])),
            ("urls", json!([{ "prefix": "a", "mirror": "b" }])),
            ("urls", json!([{ "prefix": "a" }])),
            ("signatures", json!({ "follow": false })),
            ("signatures", json!({ "follow": "available" })),
            ("signatures", json!({ "follow": "some" })),
            ("foreignLayers", json!({ "urls": ["https://h.io/"] })),
            ("foreignLayers", json!({ "urls": ["https://h.io"] })),
            (
                "foreignLayers",
                json!({ "absent": [{ "image": "r.io/a:b", "layer": format!("sha256:{SHA256}") }] }),
            ),
            ("foreignLayers", json!({ "absent": [{ "image": "r.io/a:b", "layer": SHA256 }] })),
            ("foreignLayers", json!({ "absent": [{ "image": "r.io/a:b" }] })),
            ("foreignLayers", json!({})),
        ]
    }

    fn document(sources: &[Value]) -> Map<String, Value> {
        let document = json!({
            "apiVersion": "airlock.dev/v1alpha1", "kind": "MirrorConfig", "metadata": { "name": "a" }, "sources": sources,
        });
        document.as_object().unwrap().clone()
    }

    #[test]
    fn d23_the_json_schema_accepts_what_the_parser_accepts() {
        let schema = jsonschema::validator_for(&crate::config::json_schema()).unwrap();
        let mut documents = Vec::new();
        for source in sources() {
            documents.push(document(std::slice::from_ref(&source)));
            for verify in verifies() {
                let mut verified = source.clone();
                verified["verify"] = verify;
                documents.push(document(&[verified]));
            }
        }
        for (member, value) in heads() {
            let mut changed = document(&[json!({ "images": ["a"] })]);
            changed.insert(member.to_owned(), value);
            documents.push(changed.clone());
            for member in ["apiVersion", "kind", "metadata", "sources"] {
                let mut lacking = changed.clone();
                lacking.remove(member);
                documents.push(lacking);
            }
        }
        let (mut taken, mut refused) = (0, 0);
        let mut differences = Vec::new();
        for document in documents {
            let document = Value::Object(document);
            let parsed =
                MirrorConfig::parse(&document.to_string(), Path::new("airlock.yaml"), Path::new("."));
            *(if parsed.is_ok() { &mut taken } else { &mut refused }) += 1;
            if parsed.is_ok() != schema.is_valid(&document) {
                let errors = schema.iter_errors(&document).map(|error| error.to_string());
                let errors = errors.collect::<Vec<_>>().join("; ");
                differences.push(format!("{document}\n  parser: {:?}\n  schema: {errors}", parsed.err()));
            }
        }
        assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
        assert!(taken > 80 && refused > 300, "{taken} {refused}");
    }
}
