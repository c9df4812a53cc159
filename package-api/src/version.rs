//! Versions as Go's `golang.org/x/mod/semver` compares them: with a leading `v`; minor and patch may be omitted.

use std::cmp::Ordering;

/// Whether a controller of version `own` satisfies the minimum version `least`. As in upstream, an invalid minimum
/// requires nothing. The version `development` satisfies any minimum.
#[must_use]
pub fn suffices(own: &str, least: &str) -> bool {
    own == "development" || compare(own, least) != Ordering::Less
}

/// Compares two versions. An invalid version is less than any valid one.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    match (parse(a), parse(b)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some((a, a_pre)), Some((b, b_pre))) => {
            let numbers = a.iter().zip(&b).map(|(a, b)| number(a, b)).find(|order| order.is_ne());
            numbers.unwrap_or_else(|| prerelease(a_pre, b_pre))
        }
    }
}

/// The three numbers as text, and the prerelease. Build metadata is not compared.
fn parse(text: &str) -> Option<([&str; 3], &str)> {
    let text = text.strip_prefix('v')?;
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (numbers, pre) = text.split_once('-').map_or((text, None), |(text, pre)| (text, Some(pre)));
    let mut all = ["0"; 3];
    let mut parts = numbers.split('.');
    let mut given = 0;
    for slot in &mut all {
        let Some(part) = parts.next() else { break };
        *slot = Some(part).filter(|part| is_number(part))?;
        given += 1;
    }
    let whole = given == 3;
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let sound = parts.next().is_none()
        && (whole || pre.is_none() && build.is_none())
        && build.is_none_or(|build| build.split('.').all(word))
        && pre.is_none_or(|pre| pre.split('.').all(|part| word(part) && !has_leading_zero(part)));
    sound.then_some((all, pre.unwrap_or_default()))
}

fn is_number(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
}

fn has_leading_zero(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Compares numbers of any length: without leading zeros, the longer one is greater.
fn number(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn prerelease(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (is_number(a), is_number(b)) {
                (true, true) => number(a, b),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => a.cmp(b),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_ordered_as_go_orders_them() {
        let order = [
            "",
            "v0.4.4-alpha",
            "v0.4.4-alpha.1",
            "v0.4.4-beta",
            "v0.4.4-rc.2",
            "v0.4.4-rc.10",
            "v0.4.4",
            "v0.4.17",
            "v1",
            "v1.0.1",
            "v1.10",
            "v2.0.0",
        ];
        for (low, a) in order.iter().enumerate() {
            for (high, b) in order.iter().enumerate() {
                assert_eq!(compare(a, b), low.cmp(&high), "{a} {b}");
            }
        }
        assert_eq!(compare("v1", "v1.0.0+build"), Ordering::Equal);
        for invalid in
            ["1.2.3", "v1.2.3.4", "v01.2.3", "v1.2-rc", "v1.2.3-01", "v", "vx", "v1.2.3-", "v1.2.3+"]
        {
            assert_eq!(compare(invalid, "v0.0.0-0"), Ordering::Less, "{invalid}");
        }
    }

    #[test]
    fn a_development_controller_satisfies_any_minimum_and_any_controller_an_invalid_one() {
        assert!(suffices("development", "v99.0.0") && suffices("v0.4.4", "v0.4.4") && suffices("v0.4.4", ""));
        assert!(suffices("v0.4.4", "not a version") && !suffices("v0.4.3", "v0.4.4"));
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in "v?[0-2](\\.[0-2]){0,2}(-[0-1a]{1,2})?", b in "v?[0-2](\\.[0-2]){0,2}(-[0-1a]{1,2})?",
            c in "v?[0-2](\\.[0-2]){0,2}(-[0-1a]{1,2})?", any in ".{0,20}") {
            let _ = compare(&any, &a);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le());
            }
        }
    }
}
