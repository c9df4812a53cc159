//! The address of a client, also behind a trusted proxy, and the network that limits apply to.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use crate::Error;

/// The maximum number of hops that are read.
const MOST_HOPS: usize = 32;

/// The network that limits apply to: an IPv4 address, or the /64 from which an IPv6 client can choose addresses. All clients
/// on Unix sockets are one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(Option<IpAddr>);

impl Network {
    /// The network of all clients on Unix sockets.
    pub const UNIX: Self = Self(None);

    /// The network of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(Some(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        }))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("of Unix sockets"),
        }
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Peer {
    /// Its address; `None` on a Unix socket.
    pub(in crate::server) address: Option<SocketAddr>,
    /// Whether the connection uses TLS.
    pub(in crate::server) secure: bool,
}

impl Peer {
    pub(in crate::server) fn network(self) -> Network {
        self.address.map_or(Network::UNIX, |address| Network::of(address.ip()))
    }
}

/// The client of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address; the port is 0 if a proxy reported the address. `None` on a Unix socket.
    pub address: Option<SocketAddr>,
    /// Whether it uses TLS, to this server or to the proxy.
    pub secure: bool,
    /// Whether the request came through a trusted proxy.
    pub proxied: bool,
}

impl Client {
    /// The network that limits apply to.
    #[must_use]
    pub fn network(&self) -> Network {
        self.address.map_or(Network::UNIX, |address| Network::of(address.ip()))
    }
}

/// An address range such as `10.0.0.0/8`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Cidr(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(most);
        if prefix > most { Err(wrong()) } else { Ok(Self { address, prefix }) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The proxies that are trusted to report client addresses.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<[Cidr]>);

impl FromIterator<Cidr> for Proxies {
    fn from_iter<T: IntoIterator<Item = Cidr>>(ranges: T) -> Self {
        Self(ranges.into_iter().collect())
    }
}

impl Proxies {
    /// Whether an address belongs to a trusted proxy.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(address))
    }

    /// Whether a peer is a trusted proxy. A peer on a Unix socket is not.
    pub(super) fn has(&self, peer: Peer) -> bool {
        peer.address.is_some_and(|address| self.contains(address.ip()))
    }

    /// The client of a request from `peer`: the peer itself or, if that is a trusted proxy, the last hop that is not one. A
    /// client can send `X-Forwarded-For` and `Forwarded` itself, and a proxy sets only one of them. So if both are present
    /// and differ, the proxy's own address is used.
    pub(super) fn client(&self, peer: Peer, headers: &HeaderMap) -> Client {
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let own = Client { address: peer.address.map(canonical), secure: peer.secure, proxied: false };
        if !self.has(peer) {
            return own;
        }
        let plain: Vec<Option<IpAddr>> = elements(headers, &HeaderName::from_static("x-forwarded-for"))
            .into_iter()
            .map(address_of)
            .collect();
        let standard: Vec<Option<IpAddr>> = elements(headers, &http::header::FORWARDED)
            .into_iter()
            .map(|element| address_of(parameter(element, "for")?))
            .collect();
        let hop = match (self.last_untrusted(&plain), self.last_untrusted(&standard)) {
            (Some(one), Some(other)) if one != other => None,
            (one, other) => one.or(other),
        };
        let secure = peer.secure || is_https(headers);
        let address = hop.map(|hop| SocketAddr::new(hop, 0)).or(own.address);
        Client { address, secure, proxied: true }
    }

    /// Searches from the right, because each proxy appends the address of its peer. An element that cannot be parsed ends the
    /// search, because the elements before it are not trustworthy.
    fn last_untrusted(&self, hops: &[Option<IpAddr>]) -> Option<IpAddr> {
        let mut last = None;
        for hop in hops.iter().rev().take(MOST_HOPS) {
            let Some(hop) = *hop else { return last };
            last = Some(hop);
            if !self.contains(hop) {
                break;
            }
        }
        last
    }
}

/// The comma-separated elements of all fields with a name.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let fields = headers.get_all(name).iter();
    fields.flat_map(|field| field.to_str().unwrap_or("?").split(',')).map(str::trim).collect()
}

/// A parameter of one `Forwarded` element.
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    element.split(';').find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

/// An address with or without a port; an IPv6 address may be in brackets.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let address: Option<IpAddr> = text.parse().ok().or_else(with_port).or_else(bare);
    address.map(|address| address.to_canonical())
}

fn is_https(headers: &HeaderMap) -> bool {
    let forwarded = elements(headers, &HeaderName::from_static("x-forwarded-proto"));
    let standard = elements(headers, &http::header::FORWARDED);
    let standard = standard.last().and_then(|element| parameter(element, "proto"));
    forwarded.last().copied().or(standard).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, fields: &[(&'static str, &str)]) -> String {
        let proxies: Proxies = ["10.0.0.0/8", "fd00::/8"].iter().map(|text| text.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let peer = Peer { address: Some(peer.parse().unwrap()), secure: false };
        proxies.client(peer, &headers).address.unwrap().ip().to_string()
    }

    #[test]
    fn r11_the_address_is_the_last_hop_that_is_not_a_trusted_proxy() {
        let xff = "x-forwarded-for";
        for (peer, fields, expected) in [
            ("192.0.2.1:5", &[(xff, "1.1.1.1")][..], "192.0.2.1"),
            ("10.0.0.1:5", &[], "10.0.0.1"),
            ("10.0.0.1:5", &[(xff, "1.1.1.1, 192.0.2.7, 10.0.0.9")], "192.0.2.7"),
            ("10.0.0.1:5", &[(xff, "1.1.1.1"), (xff, "192.0.2.7")], "192.0.2.7"),
            ("[::ffff:10.0.0.1]:5", &[(xff, "[2001:db8::1]:80")], "2001:db8::1"),
            ("[fd00::1]:5", &[(xff, "192.0.2.7:1234")], "192.0.2.7"),
            ("10.0.0.1:5", &[(xff, "192.0.2.7, unknown")], "10.0.0.1"),
            ("10.0.0.1:5", &[(xff, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            (
                "10.0.0.1:5",
                &[("forwarded", "for=1.1.1.1, for=\"[2001:db8::1]:4711\";proto=https")],
                "2001:db8::1",
            ),
            ("10.0.0.1:5", &[("forwarded", "for=1.1.1.1"), (xff, "192.0.2.7")], "10.0.0.1"),
            ("10.0.0.1:5", &[("forwarded", "for=192.0.2.7"), (xff, "192.0.2.7")], "192.0.2.7"),
        ] {
            assert_eq!(client(peer, fields), expected, "{peer} {fields:?}");
        }
    }

    #[test]
    fn clients_on_unix_sockets_are_one_network_and_cannot_name_another_client() {
        let proxies: Proxies = ["0.0.0.0/0", "::/0"].iter().map(|text| text.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "192.0.2.7".parse().unwrap());
        let client = proxies.client(Peer { address: None, secure: false }, &headers);
        assert_eq!(client, Client { address: None, secure: false, proxied: false });
        assert_eq!(client.network(), Network::UNIX);
        assert_ne!(Network::UNIX, Network::of(Ipv6Addr::UNSPECIFIED.into()));
    }

    #[test]
    fn ranges_are_read_strictly() {
        for wrong in ["", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/x", "::/129", "host", "10.0.0/8"] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
        let all: Cidr = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("203.0.113.9".parse().unwrap()) && !all.contains("::1".parse().unwrap()));
        let one: Cidr = "::1".parse().unwrap();
        assert!(one.contains("::1".parse().unwrap()) && !one.contains("::2".parse().unwrap()));
    }

    #[test]
    fn an_ipv6_client_is_counted_by_its_network() {
        let network = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
