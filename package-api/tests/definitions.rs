//! The generated CRDs match upstream's, except for listed differences, and match the files in `manifests/crds`.

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use gostd::{Limits, yaml};
    use package_api::crd;
    use serde_json::{Value, json};

    const UPSTREAM: &str = include_str!("data/packages.eks.amazonaws.com.yaml");

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
    }

    fn upstream() -> Vec<Value> {
        yaml::documents(UPSTREAM, &Limits::default()).unwrap()
    }

    /// Every difference between two values: the path, upstream's value and our value.
    fn differences(path: &str, theirs: &Value, ours: &Value, out: &mut Vec<(String, Value, Value)>) {
        match (theirs, ours) {
            (Value::Object(a), Value::Object(b)) => {
                for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                    let (a, b) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                    differences(&format!("{path}.{key}"), a, b, out);
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (index, (a, b)) in a.iter().zip(b).enumerate() {
                    differences(&format!("{path}[{index}]"), a, b, out);
                }
            }
            _ if theirs != ours => out.push((path.to_owned(), theirs.clone(), ours.clone())),
            _ => {}
        }
    }

    /// The reason for which a difference is accepted. Without a reason, it is not.
    fn reason(path: &str, theirs: &Value, ours: &Value) -> Option<&'static str> {
        let status = ".spec.versions[0].schema.openAPIV3Schema.properties.status.properties.";
        let ends = |end: &str| path.ends_with(end);
        if ends(".description") && theirs.is_string() && ours.is_string() {
            return Some("our own wording");
        }
        if path == ".metadata.annotations" && ours.is_null() {
            return Some("written by another generator, with placeholders of its templates");
        }
        if path.starts_with(".spec.conversion") {
            return Some(
                "one version needs no conversion; upstream's refers to a service that does not exist",
            );
        }
        let added = [format!("{status}conditions"), format!("{status}observedGeneration")];
        if added.iter().any(|added| path == added) && theirs.is_null() {
            return Some("added by airlock, in the status, which manifests of users do not contain");
        }
        None
    }

    #[test]
    fn our_crds_match_upstream_s_except_for_differences_with_a_reason() {
        let ours = crd::all();
        let mut reasons = BTreeSet::new();
        let mut compared = 0;
        for theirs in upstream() {
            let name = &theirs["metadata"]["name"];
            let ours = ours.iter().find(|ours| ours["metadata"]["name"] == *name);
            let mut found = Vec::new();
            differences("", &theirs, ours.unwrap_or_else(|| panic!("{name} is missing")), &mut found);
            for (path, theirs, ours) in found {
                let reason = reason(&path, &theirs, &ours);
                reasons.insert(reason.unwrap_or_else(|| panic!("{name}{path}: {theirs} became {ours}")));
            }
            compared += 1;
        }
        assert_eq!(compared, 3);
        assert_eq!(reasons.len(), 4, "unexpected reasons: {reasons:?}");
    }

    #[test]
    fn a_missing_field_or_another_type_is_detected() {
        let theirs = upstream();
        for pointer in [
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties",
            "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/state/enum",
            "/spec/versions/0/additionalPrinterColumns",
            "/spec/versions/0/subresources",
            "/spec/names",
        ] {
            for definition in &theirs {
                let mut changed = definition.clone();
                *changed.pointer_mut(pointer).unwrap() = json!("other");
                let mut found = Vec::new();
                differences("", definition, &changed, &mut found);
                assert!(found.iter().any(|(path, a, b)| reason(path, a, b).is_none()), "{pointer}");
            }
        }
    }

    #[test]
    fn the_files_in_manifests_match_the_types() {
        let folder = root().join("manifests/crds");
        let mut files = BTreeSet::new();
        for definition in crd::all() {
            let path = folder.join(crd::file_name(&definition));
            let text = format!(
                "# Generated from the types of `package-api`. To regenerate: `AIRLOCK_TEST_BLESS=1 cargo test -p package-api`.\n{}",
                yaml::write(&definition)
            );
            if std::env::var_os("AIRLOCK_TEST_BLESS").is_some() {
                std::fs::write(&path, &text).unwrap();
            }
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(found == text, "{} is outdated: run once with AIRLOCK_TEST_BLESS=1", path.display());
            files.insert(path);
        }
        let present: BTreeSet<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(present, files, "a file without a type");
    }

    /// The rules of `apiextensions.k8s.io` for structural schemas, as far as these CRDs could violate them.
    fn check_structural(path: &str, schema: &Value) {
        let table = schema.as_object().unwrap_or_else(|| panic!("{path}: no schema"));
        assert!(table["type"].is_string(), "{path}: no type");
        for word in ["$ref", "anyOf", "oneOf", "allOf", "not", "const", "definitions", "nullable", "title"] {
            assert!(!table.contains_key(word), "{path}: {word}");
        }
        if let Some(values) = table.get("enum") {
            assert!(values.as_array().unwrap().iter().all(Value::is_string), "{path}: enum");
        }
        for required in table.get("required").and_then(Value::as_array).into_iter().flatten() {
            assert!(table["properties"].get(required.as_str().unwrap()).is_some(), "{path}: {required}");
        }
        for (name, member) in table.get("properties").and_then(Value::as_object).into_iter().flatten() {
            check_structural(&format!("{path}.{name}"), member);
        }
        for name in ["items", "additionalProperties"] {
            if let Some(within) = table.get(name) {
                check_structural(&format!("{path}.{name}"), within);
            }
        }
    }

    #[test]
    fn every_schema_is_structural() {
        for definition in crd::all() {
            let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            check_structural(definition["spec"]["names"]["kind"].as_str().unwrap(), schema);
        }
    }
}
