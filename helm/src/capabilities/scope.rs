//! `.Capabilities` and its parts as templates see them: Go's types with their fields and methods.

use std::any::Any;
use std::rc::Rc;

use gostd::object::{Object, string};
use gostd::value::Value;

use super::{Capabilities, KubeVersion};
use crate::function::Failure;

/// The versions of the compiler and the client library of Helm 4.3.
const GO_VERSION: &str = "go1.27.2";
const KUBE_CLIENT_VERSION: &str = "v1.37";

impl Capabilities {
    /// `.Capabilities`
    pub(crate) fn to_value(&self) -> Value {
        Value::Object(Rc::new(Whole(self.clone())))
    }
}

/// `*common.Capabilities`
struct Whole(Capabilities);

/// `common.KubeVersion`
struct Kube(KubeVersion);

/// `common.VersionSet`
struct Versions(Vec<String>);

/// `version.BuildInfo`
struct Helm(String);

impl Whole {
    fn parts(&self) -> [(&'static str, Rc<dyn Object>); 3] {
        [
            ("KubeVersion", Rc::new(Kube(self.0.kube_version.clone()))),
            ("APIVersions", Rc::new(Versions(self.0.api_versions.clone()))),
            ("HelmVersion", Rc::new(Helm(self.0.helm_version.clone()))),
        ]
    }
}

fn expect_no_arguments(name: &str, arguments: &[Value]) -> Result<(), Failure> {
    if arguments.is_empty() {
        return Ok(());
    }
    let is_method = matches!(name, "Copy" | "String" | "GitVersion");
    Err(if is_method {
        format!("wrong number of args for {name}: want 0 got {}", arguments.len()).into()
    } else {
        format!("{name} is not a method but has arguments").into()
    })
}

impl Object for Whole {
    fn type_name(&self) -> &'static str {
        "*common.Capabilities"
    }

    fn kind(&self) -> &'static str {
        "ptr"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
        let found = if name == "Copy" {
            Some(self.0.to_value())
        } else {
            self.parts().into_iter().find(|(part, _)| *part == name).map(|(_, part)| Value::Object(part))
        };
        if found.is_some() {
            expect_no_arguments(name, arguments)?;
        }
        Ok(found)
    }

    fn plain(&self) -> Value {
        Value::map(self.parts().map(|(name, part)| (name, part.plain())))
    }

    fn fields(&self) -> Option<Vec<(&'static str, Value)>> {
        Some(self.parts().map(|(name, part)| (name, Value::Object(part))).to_vec())
    }

    fn print(&self) -> String {
        format!("&{{{}}}", self.parts().map(|(_, part)| part.print()).join(" "))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Object for Kube {
    fn type_name(&self) -> &'static str {
        "common.KubeVersion"
    }

    fn kind(&self) -> &'static str {
        "struct"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
        let text = match name {
            "Version" | "GitVersion" => &self.0.version,
            "Major" => &self.0.major,
            "Minor" => &self.0.minor,
            "String" => self.0.constrained(),
            _ => return Ok(None),
        };
        expect_no_arguments(name, arguments)?;
        Ok(Some(text.into()))
    }

    fn plain(&self) -> Value {
        Value::map(self.fields().unwrap_or_default())
    }

    fn fields(&self) -> Option<Vec<(&'static str, Value)>> {
        let KubeVersion { version, major, minor, .. } = &self.0;
        Some(vec![
            ("Version", version.as_str().into()),
            ("Major", major.as_str().into()),
            ("Minor", minor.as_str().into()),
        ])
    }

    fn print(&self) -> String {
        let KubeVersion { version, normalized, major, minor } = &self.0;
        format!("{{{version} {normalized} {major} {minor}}}")
    }

    fn shown(&self) -> String {
        self.0.constrained().to_owned()
    }

    fn print_with_names(&self) -> String {
        let KubeVersion { version, normalized, major, minor } = &self.0;
        format!("{{Version:{version} normalizedVersion:{normalized} Major:{major} Minor:{minor}}}")
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Object for Versions {
    fn type_name(&self) -> &'static str {
        "common.VersionSet"
    }

    fn kind(&self) -> &'static str {
        "slice"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
        match (name, arguments) {
            ("Has", [version]) => {
                let version = string(version)?;
                Ok(Some(self.0.iter().any(|known| known.as_bytes() == version).into()))
            }
            ("Has", _) => Err(format!("wrong number of args for Has: want 1 got {}", arguments.len()).into()),
            _ => Ok(None),
        }
    }

    fn plain(&self) -> Value {
        Value::strings(self.0.iter().map(String::as_str))
    }

    fn print(&self) -> String {
        format!("[{}]", self.0.join(" "))
    }

    fn truth(&self) -> bool {
        !self.0.is_empty()
    }

    fn items(&self) -> Option<Vec<(Value, Value)>> {
        let indexes = (0..).map(Value::Int);
        Some(indexes.zip(self.0.iter().map(|version| version.as_str().into())).collect())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Object for Helm {
    fn type_name(&self) -> &'static str {
        "version.BuildInfo"
    }

    fn kind(&self) -> &'static str {
        "struct"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
        let text = match name {
            "Version" => &self.0,
            "GitCommit" | "GitTreeState" => "",
            "GoVersion" => GO_VERSION,
            "KubeClientVersion" => KUBE_CLIENT_VERSION,
            _ => return Ok(None),
        };
        expect_no_arguments(name, arguments)?;
        Ok(Some(text.into()))
    }

    fn plain(&self) -> Value {
        Value::map(self.fields().unwrap_or_default())
    }

    fn fields(&self) -> Option<Vec<(&'static str, Value)>> {
        Some(vec![
            ("version", self.0.as_str().into()),
            ("go_version", GO_VERSION.into()),
            ("kube_client_version", KUBE_CLIENT_VERSION.into()),
        ])
    }

    fn print(&self) -> String {
        format!("{{{}   {GO_VERSION} {KUBE_CLIENT_VERSION}}}", self.0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
