//! Hosts with ports: names, IPv4 addresses, and IPv6 addresses in brackets.

use std::net::Ipv6Addr;

use gostd::fmt;

use super::escape::{Part, unescape};

/// Go's `parseHost`.
///
/// # Errors
/// Go's error text for an invalid host.
pub(crate) fn parse(scheme: &[u8], host: &[u8]) -> Result<Vec<u8>, String> {
    match host.iter().rposition(|byte| *byte == b'[') {
        Some(0) => return literal(host),
        Some(_) => return Err("invalid IP-literal".into()),
        None => {}
    }
    // Other schemes may have a list of hosts, of which Go checks only the last port.
    let is_colon = |byte: &u8| *byte == b':';
    let strict = matches!(scheme, b"http" | b"https");
    let colon = if strict { host.iter().position(is_colon) } else { host.iter().rposition(is_colon) };
    if let Some(colon) = colon {
        check_port(host.get(colon..).unwrap_or_default())?;
    }
    unescape(host, Part::Host)
}

fn check_port(port: &[u8]) -> Result<(), String> {
    match port {
        [] => Ok(()),
        [b':', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => Ok(()),
        _ => Err(format!("invalid port {} after host", fmt::quote(port))),
    }
}

/// `[address%25zone]:port`
fn literal(host: &[u8]) -> Result<Vec<u8>, String> {
    let Some(end) = host.iter().rposition(|byte| *byte == b']') else {
        return Err("missing ']' in host".into());
    };
    let port = host.get(end + 1..).unwrap_or_default();
    check_port(port)?;
    let inside = host.get(1..end).unwrap_or_default();
    let zone = memchr::memmem::find(inside, b"%25").unwrap_or(inside.len());
    let (address, zone) = inside.split_at_checked(zone).unwrap_or((inside, b""));
    let address = unescape(address, Part::Host)?;
    let zone = unescape(zone, Part::Zone)?;
    let text = [address.as_slice(), &zone].concat();
    check_address(&text)?;
    Ok([b"[", text.as_slice(), b"]", port].concat())
}

/// Checks that the text in brackets is an IPv6 address.
fn check_address(text: &[u8]) -> Result<(), String> {
    let decoded = String::from_utf8_lossy(text);
    let (address, zone) = match decoded.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (&*decoded, None),
    };
    if zone.is_none() && address.parse::<std::net::Ipv4Addr>().is_ok() {
        return Err("invalid IP-literal".into());
    }
    if address.parse::<Ipv6Addr>().is_ok() && zone.is_none_or(|zone| !zone.is_empty()) {
        return Ok(());
    }
    let reason = if zone == Some("") { "zone must be a non-empty string" } else { "unable to parse IP" };
    Err(format!("invalid host: ParseAddr({}): {reason}", fmt::quote(text)))
}
