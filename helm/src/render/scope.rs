//! The dot of templates: `.Values`, `.Release`, `.Chart`, `.Subcharts`, `.Files`, `.Capabilities`, `.Template`.
//!
//! Source: `pkg/engine/engine.go`, `recAllTpls`. Charts share maps as in Go: changes that a template makes in `.Values`
//! are visible to the templates after it.

use std::collections::BTreeMap;
use std::rc::Rc;

use gostd::value::{Map, Value};

use super::options::Options;
use crate::chart::{Files, Node, at, path};
use crate::error::Error;

/// A template and its scope.
pub(super) struct Template {
    /// Its source.
    pub(super) text: String,
    base_path: Rc<str>,
    scope: Map,
}

impl Template {
    /// The dot for its execution under the name `path`.
    pub(super) fn dot(&self, path: &str) -> Value {
        let template = Map::new([("Name", path.into()), ("BasePath", Value::Str(self.base_path.clone()))]);
        self.scope.entries.borrow_mut().insert("Template".into(), Value::Map(template.named()));
        Value::Map(self.scope.named())
    }
}

/// All templates of the chart and its sub-charts, by path; if two have the same path, the later one wins.
pub(super) fn templates(
    root: &Node<'_>,
    values: &Map,
    options: &Options<'_>,
) -> Result<BTreeMap<String, Template>, Error> {
    let release = &options.release;
    let mut walk = Walk {
        release: Value::map([
            ("Name", release.name.as_str().into()),
            ("Namespace", release.namespace.as_str().into()),
            ("IsUpgrade", release.is_upgrade.into()),
            ("IsInstall", (!release.is_upgrade).into()),
            ("Revision", Value::Int(release.revision)),
            ("Service", "Helm".into()),
        ]),
        capabilities: options.capabilities.to_value(),
        regex_bytes: options.limits.regex_bytes,
        templates: BTreeMap::new(),
    };
    walk.visit(root, &root.metadata.name, values, true)?;
    Ok(walk.templates)
}

struct Walk {
    release: Value,
    capabilities: Value,
    regex_bytes: usize,
    templates: BTreeMap<String, Template>,
}

impl Walk {
    /// Collects the templates of a chart, after those of its sub-charts, and returns the chart's scope.
    fn visit(
        &mut self,
        chart: &Node<'_>,
        full_path: &str,
        values: &Map,
        is_root: bool,
    ) -> Result<Map, Error> {
        let metadata = chart.metadata.to_map();
        metadata.entries.borrow_mut().insert("IsRoot".into(), is_root.into());
        let charts = Map::new::<&str>([]);
        let scope = Map::new([
            ("Chart", Value::Map(metadata)),
            ("Files", Value::Object(Rc::new(Files::new(chart.files(), self.regex_bytes)))),
            ("Release", self.release.clone()),
            ("Capabilities", self.capabilities.clone()),
            ("Values", Value::Map(values.named())),
            ("Subcharts", Value::Map(charts.clone())),
        ]);
        for child in &chart.charts {
            let name = child.metadata.name.as_str();
            let given = match at(&Value::Map(values.clone()), name) {
                Some(Value::Map(given)) => given,
                _ => Map::new::<&str>([]),
            };
            let inner = self.visit(child, &format!("{full_path}/charts/{name}"), &given, false)?;
            charts.entries.borrow_mut().insert(name.into(), Value::Map(inner));
        }
        let base_path: Rc<str> = format!("{full_path}/templates").into();
        for file in chart.templates() {
            if chart.metadata.is_library() && !path::base(&file.name).starts_with('_') {
                continue;
            }
            let path = path::clean(&format!("{full_path}/{}", file.name));
            let Ok(text) = std::str::from_utf8(&file.data) else {
                return Err(Error::TemplateEncoding { path });
            };
            let template =
                Template { text: text.to_owned(), base_path: base_path.clone(), scope: scope.clone() };
            self.templates.insert(path, template);
        }
        Ok(scope)
    }
}
