//! The functions that templates can call, in one table that joins those of the submodules.
//!
//! The few that need the evaluator (`and`, `or`, `call`, `include`, `tpl`, `required`, `fail`, `lookup`) are in
//! `template::exec`, since a plain function cannot reach templates or leave an argument unevaluated.

pub(crate) mod builtin;
pub(crate) mod cast;
pub(crate) mod crypto;
pub(crate) mod dates;
pub(crate) mod defaults;
pub(crate) mod dicts;
pub(crate) mod encoding;
pub(crate) mod json;
pub(crate) mod lists;
pub(crate) mod math;
pub(crate) mod paths;
pub(crate) mod random;
pub(crate) mod regex;
pub(crate) mod runes;
pub(crate) mod semver;
pub(crate) mod strings;
pub(crate) mod text;
mod toml;
pub(crate) mod types;
pub(crate) mod url;
pub(crate) mod yaml;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::function::Function;

/// The tables of the submodules. A test checks that no name is in two of them.
const TABLES: &[&[Function]] = &[
    builtin::FUNCTIONS,
    crypto::FUNCTIONS,
    dates::FUNCTIONS,
    defaults::FUNCTIONS,
    dicts::FUNCTIONS,
    encoding::FUNCTIONS,
    json::FUNCTIONS,
    lists::FUNCTIONS,
    math::FUNCTIONS,
    paths::FUNCTIONS,
    random::FUNCTIONS,
    regex::FUNCTIONS,
    semver::FUNCTIONS,
    strings::FUNCTIONS,
    toml::FUNCTIONS,
    types::FUNCTIONS,
    url::FUNCTIONS,
    yaml::FUNCTIONS,
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Function>> =
    LazyLock::new(|| TABLES.iter().copied().flatten().map(|function| (function.name, function)).collect());

/// The function `name`.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    BY_NAME.get(name).copied()
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// `functions.txt` contains every name that Helm itself accepts as a function.
    #[test]
    fn the_functions_are_those_of_helm() {
        let helms: BTreeSet<&str> = include_str!("../tests/data/conformance/functions.txt").lines().collect();
        let special = ["and", "or", "call", "include", "tpl", "required", "fail", "lookup"];
        let ours: BTreeSet<&str> = BY_NAME.keys().copied().chain(special).collect();
        assert_eq!(ours, helms);
    }

    #[test]
    fn no_two_functions_have_the_same_name() {
        let count: usize = TABLES.iter().map(|table| table.len()).sum();
        assert_eq!(BY_NAME.len(), count);
    }
}
