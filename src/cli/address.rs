//! Addresses to listen on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};

/// Reads `ADDRESS:PORT`, `HOST:PORT` or `:PORT`. `localhost` is 127.0.0.1, and without a host, all IPv4 addresses are meant.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let expected = || format!("expected ADDRESS:PORT, HOST:PORT or :PORT, found `{text}`");
    let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
    let port: u16 = port.parse().map_err(|_| expected())?;
    let host = host.trim_end_matches('.');
    if host.is_empty() {
        return Ok(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
    }
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    }
    if host.contains([':', '/', '[', ']', ' ']) {
        return Err(expected());
    }
    let found =
        (host, port).to_socket_addrs().map_err(|error| format!("cannot resolve `{host}`: {error}"))?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(|address| matches!(address.ip(), IpAddr::V6(_)));
    found.first().copied().ok_or_else(|| format!("`{host}` has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r9_listen_accepts_what_other_registries_accept() {
        for (text, expected) in [
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("[::1]:5000", "[::1]:5000"),
            ("localhost:5000", "127.0.0.1:5000"),
            ("LocalHost:0", "127.0.0.1:0"),
            (":5000", "0.0.0.0:5000"),
        ] {
            assert_eq!(listen(text).unwrap(), expected.parse().unwrap(), "{text}");
        }
        for wrong in
            ["", "5000", "localhost", "localhost:", "localhost:70000", "::1:5000", "a b:1", "http://a:1"]
        {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
    }
}
