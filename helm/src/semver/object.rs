//! Versions in templates: the methods of `*semver.Version`, and of `semver.Version`, which the `Inc` methods return and
//! which has only the methods that do not need a pointer.

use std::cmp::Ordering;
use std::rc::Rc;

use gostd::object::Object;
use gostd::value::Value;

use super::{Invalid, Version, is_identifiers};
use crate::function::Failure;

impl Object for Version {
    fn type_name(&self) -> &'static str {
        if self.value { "semver.Version" } else { "*semver.Version" }
    }

    fn kind(&self) -> &'static str {
        if self.value { "struct" } else { "ptr" }
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
        let wanted = match name {
            "Major" | "Minor" | "Patch" | "Prerelease" | "Metadata" | "String" | "IncMajor" | "IncMinor"
            | "IncPatch" => 0,
            "SetPrerelease" | "SetMetadata" => 1,
            "Original" if !self.value => 0,
            "Compare" | "Equal" | "GreaterThan" | "GreaterThanEqual" | "LessThan" | "LessThanEqual"
                if !self.value =>
            {
                1
            }
            _ => return Ok(None),
        };
        if arguments.len() != wanted {
            let got = arguments.len();
            return Err(format!("wrong number of args for {name}: want {wanted} got {got}").into());
        }
        let result = match arguments.first() {
            None => self.plain_member(name)?,
            Some(argument) if name.starts_with("Set") => self.with(name, argument)?,
            Some(argument) => self.compared(name, argument)?,
        };
        Ok(Some(result))
    }

    fn plain(&self) -> Value {
        self.to_string().into()
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Version {
    fn plain_member(&self, name: &str) -> Result<Value, Failure> {
        Ok(match name {
            "Major" => Value::Uint64(self.major),
            "Minor" => Value::Uint64(self.minor),
            "Patch" => Value::Uint64(self.patch),
            "Prerelease" => self.prerelease.as_str().into(),
            "Metadata" => self.metadata.as_str().into(),
            "Original" => self.original.as_str().into(),
            "IncMajor" => self.next(up(self.major, "major")?, 0, 0),
            "IncMinor" => self.next(self.major, up(self.minor, "minor")?, 0),
            // The next patch of a prerelease is its release.
            "IncPatch" if !self.prerelease.is_empty() => self.next(self.major, self.minor, self.patch),
            "IncPatch" => self.next(self.major, self.minor, up(self.patch, "patch")?),
            _ => self.to_string().into(),
        })
    }

    fn next(&self, major: u64, minor: u64, patch: u64) -> Value {
        let (prerelease, metadata) = (String::new(), String::new());
        self.derived(Self { major, minor, patch, prerelease, metadata, ..self.clone() })
    }

    /// A new version whose text keeps the `v` of this one.
    fn derived(&self, mut version: Self) -> Value {
        let prefix = if self.original.starts_with('v') { "v" } else { "" };
        version.original = format!("{prefix}{version}");
        version.value = true;
        Value::Object(Rc::new(version))
    }

    fn with(&self, name: &str, argument: &Value) -> Result<Value, Failure> {
        let Value::Str(text) = argument else { return Err(mistyped("string", argument)) };
        let mut version = self.clone();
        if name == "SetMetadata" {
            if !text.is_empty() && !is_identifiers(text) {
                return Err("invalid metadata string".into());
            }
            version.metadata = text.to_string();
        } else {
            if !text.is_empty() {
                let probe = Version::parse(&format!("0.0.0-{text}"));
                match probe {
                    Err(Invalid::LeadingZero) => return Err(Invalid::LeadingZero.to_string().into()),
                    Ok(probe) if probe.metadata.is_empty() => {}
                    _ => return Err("invalid prerelease string".into()),
                }
            }
            version.prerelease = text.to_string();
        }
        Ok(self.derived(version))
    }

    fn compared(&self, name: &str, argument: &Value) -> Result<Value, Failure> {
        let other = if let Value::Object(object) = argument {
            object.as_any().downcast_ref::<Self>().filter(|version| !version.value)
        } else {
            None
        };
        let Some(other) = other else { return Err(mistyped("*semver.Version", argument)) };
        let order = self.compare(other);
        Ok(match name {
            "Equal" => order.is_eq().into(),
            "GreaterThan" => order.is_gt().into(),
            "GreaterThanEqual" => order.is_ge().into(),
            "LessThan" => order.is_lt().into(),
            "LessThanEqual" => order.is_le().into(),
            _ => Value::Int(match order {
                Ordering::Less => -1,
                Ordering::Equal => 0,
                Ordering::Greater => 1,
            }),
        })
    }
}

fn up(number: u64, name: &str) -> Result<u64, Failure> {
    number.checked_add(1).ok_or_else(|| format!("{name} version increment would overflow uint64").into())
}

fn mistyped(wanted: &str, argument: &Value) -> Failure {
    format!("wrong type for value; expected {wanted}; got {}", argument.type_name()).into()
}
