//! A chart's metadata as `.Chart` in templates.
//!
//! Source: `pkg/chart/common.go`, `structToMap`: Go's field names, every slice a `[]any`.

use gostd::value::{Element, Map, Value};

use super::{Dependency, Maintainer, Metadata};
use crate::chart::values::to_value;

impl Metadata {
    /// `.Chart`, without `IsRoot`.
    pub(crate) fn to_map(&self) -> Map {
        let text = |text: &String| Value::from(text.as_str());
        let texts = |texts: &[String]| Value::list(texts.iter().map(text).collect());
        let annotations = self.annotations.iter().map(|(key, value)| (key.as_str(), text(value)));
        let annotations = if self.has_annotations { Map::of(Element::Str, annotations) } else { Map::nil() };
        let dependencies = self.dependencies.iter().flatten().map(Dependency::to_value).collect();
        Map::new([
            ("Name", text(&self.name)),
            ("Home", text(&self.home)),
            ("Sources", texts(&self.sources)),
            ("Version", text(&self.version)),
            ("Description", text(&self.description)),
            ("Keywords", texts(&self.keywords)),
            ("Maintainers", Value::list(self.maintainers.iter().map(Maintainer::to_value).collect())),
            ("Icon", text(&self.icon)),
            ("APIVersion", text(&self.api_version)),
            ("Condition", text(&self.condition)),
            ("Tags", text(&self.tags)),
            ("AppVersion", text(&self.app_version)),
            ("Deprecated", self.deprecated.into()),
            ("Annotations", Value::Map(annotations)),
            ("KubeVersion", text(&self.kube_version)),
            ("Dependencies", Value::list(dependencies)),
            ("Type", text(&self.kind)),
        ])
    }
}

impl Maintainer {
    fn to_value(&self) -> Value {
        Value::map([
            ("Name", self.name.as_str().into()),
            ("Email", self.email.as_str().into()),
            ("URL", self.url.as_str().into()),
        ])
    }
}

impl Dependency {
    fn to_value(&self) -> Value {
        Value::map([
            ("Name", self.name.as_str().into()),
            ("Version", self.version.as_str().into()),
            ("Repository", self.repository.as_str().into()),
            ("Condition", self.condition.as_str().into()),
            ("Tags", Value::list(self.tags.iter().map(|tag| tag.as_str().into()).collect())),
            ("Enabled", self.enabled.into()),
            ("ImportValues", Value::list(self.import_values.iter().map(to_value).collect())),
            ("Alias", self.alias.as_str().into()),
        ])
    }
}
