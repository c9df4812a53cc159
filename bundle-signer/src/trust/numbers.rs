//! Checks how numbers in a trust file are written: in decimal, without quotes, and no greater than databases can store.
//! YAML has other notations, which parsers read as different numbers, or not as numbers.

use serde::Deserialize;
use serde_saphyr::{Options, Spanned};

use super::unknown;
use crate::{Error, Result};

/// The greatest number in a signed 64-bit column of a database.
const MAX_NUMBER: u64 = i64::MAX.unsigned_abs();

#[derive(Deserialize)]
struct File {
    sequence: Option<Spanned<u64>>,
    #[serde(default)]
    keys: Vec<Holder>,
    #[serde(default)]
    identities: Vec<Holder>,
}

#[derive(Deserialize)]
struct Holder {
    roles: Option<Vec<Role>>,
}

#[derive(Deserialize)]
struct Role {
    sequence: Option<Range>,
}

#[derive(Deserialize)]
struct Range {
    from: Option<Spanned<u64>>,
    to: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeysWithoutRoles {
    keys_without_roles: Option<Spanned<String>>,
}

/// The line of `keysWithoutRoles`, if the file has it.
pub(super) fn keys_without_roles_line(text: &str, options: Options) -> Option<u64> {
    let file: KeysWithoutRoles = serde_saphyr::from_str_with_options(text, options).ok()?;
    file.keys_without_roles.map(|value| value.defined.line())
}

/// Checks each number of a trust file.
///
/// # Errors
/// [`Error::TrustMember`] for a number in another notation, or one that is too great.
pub(super) fn check(text: &str, options: Options) -> Result<()> {
    let file: File =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| Error::Trust(Box::new(error)))?;
    let holders = file.keys.into_iter().chain(file.identities);
    let ranges = holders.flat_map(|holder| holder.roles.unwrap_or_default());
    let ranges = ranges.filter_map(|role| role.sequence).flat_map(|range| [range.from, range.to]);
    let lines: Vec<_> = text.lines().collect();
    for number in std::iter::once(file.sequence).chain(ranges).flatten() {
        let at = number.defined;
        let line = usize::try_from(at.line()).ok().and_then(|line| lines.get(line.checked_sub(1)?));
        let column = usize::try_from(at.column()).unwrap_or(usize::MAX).saturating_sub(1);
        let before: String = line.into_iter().flat_map(|line| line.chars().take(column)).collect();
        let written: String = line.into_iter().flat_map(|line| line.chars().skip(column)).collect();
        let end = written.find(|c: char| c.is_whitespace() || matches!(c, ',' | '}' | ']' | '#'));
        let written = &written[..end.unwrap_or(written.len())];
        // Nothing, such as a YAML tag, may be between the name and the number.
        if !before.trim_end().ends_with(':')
            || written != number.value.to_string()
            || number.value > MAX_NUMBER
        {
            return Err(unknown("sequence", written, "a number in decimal, without quotes, below 2^63"));
        }
    }
    Ok(())
}
