//! Sprig's URL functions on Go's `net/url`, and `getHostByName`, which resolves no names in Helm by default.

#![expect(clippy::unnecessary_wraps, reason = "the shape of every function's body")]

mod reference;

use std::rc::Rc;

use gostd::fmt;
use gostd::value::{Map, Value};
use reference::Reference;

use super::text;
use crate::function::Parameter::{self, Str};
use crate::function::{Arguments, Failure, Function, Scope};

/// The functions of this group.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "getHostByName", parameters: &[Str], rest: None, body: host_by_name },
    Function { name: "urlJoin", parameters: &[Parameter::Map], rest: None, body: join },
    Function { name: "urlParse", parameters: &[Str], rest: None, body: parse },
];

/// Helm resolves names only if the user enables DNS lookups.
fn host_by_name(_: &Scope<'_>, _: Arguments<'_>) -> Result<Value, Failure> {
    Ok("".into())
}

fn parse(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let url = Reference::parse(arguments.bytes(0))
        .map_err(|refusal| format!("unable to parse url: {}", described(&refusal)))?;
    let parts = [
        ("scheme", &url.scheme),
        ("host", &url.host),
        ("hostname", &url.hostname()),
        ("path", &url.path),
        ("query", &url.query),
        ("opaque", &url.opaque),
        ("fragment", &url.fragment),
        ("userinfo", &url.user_text()),
    ];
    let map = Map::new::<&str>([]);
    for (name, part) in parts {
        map.entries.borrow_mut().insert(Rc::from(name), text::string(scope, part.as_slice())?);
    }
    Ok(Value::Map(map))
}

fn described(refusal: &reference::Refusal) -> String {
    format!("parse {}: {}", fmt::quote(&refusal.url), refusal.reason)
}

fn join(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let map = arguments.map(0);
    let part = |name: &str| match map.entries.borrow().get(name) {
        None => Ok(Vec::new()),
        Some(Value::Nil) => Err(super::lists::NIL_TYPE.into()),
        Some(value @ (Value::Str(_) | Value::Binary(_))) => Ok(value.bytes().unwrap_or_default().to_vec()),
        Some(other) => {
            let kind = other.kind();
            Err(Failure::from(format!(
                "unable to parse {name} key, must be of type string, but {kind} found"
            )))
        }
    };
    let mut url = Reference {
        scheme: part("scheme")?,
        host: part("host")?,
        path: part("path")?,
        query: part("query")?,
        opaque: part("opaque")?,
        fragment: part("fragment")?,
        ..Reference::default()
    };
    let user = part("userinfo")?;
    if !user.is_empty() {
        let probe = [b"proto://", user.as_slice(), b"@host"].concat();
        let parsed = Reference::parse(&probe)
            .map_err(|refusal| format!("unable to parse userinfo in dict: {}", described(&refusal)))?;
        url.user = parsed.user;
    }
    text::string(scope, url.text())
}
