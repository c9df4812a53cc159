//! Which proxy a request goes through, by the variables that curl and Go read.
//!
//! Where curl and Go agree, both are followed; where one of them leaves the proxy out and the other does not, it is
//! left out: `.example.com` covers `example.com` too (curl), loopback addresses never go through a proxy (Go).

use std::net::IpAddr;

use url::Url;

use super::Error;
use super::shown::{shown, shown_url};

/// What the environment says about proxies, as text.
#[derive(Clone, Default)]
pub struct ProxySettings {
    /// `HTTP_PROXY`.
    pub http: Option<String>,
    /// `HTTPS_PROXY`.
    pub https: Option<String>,
    /// `ALL_PROXY`, where the two above say nothing.
    pub all: Option<String>,
    /// `NO_PROXY`.
    pub none: Option<String>,
}

impl std::fmt::Debug for ProxySettings {
    /// Proxy URLs may hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxySettings").field("none", &self.none).finish_non_exhaustive()
    }
}

/// The same, parsed.
#[derive(Default)]
pub(super) struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    exceptions: Vec<Exception>,
}

/// One entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    Everything,
    /// An address block: its first address and how many leading bits count.
    Block(IpAddr, u8),
    Address(IpAddr, Option<u16>),
    /// A domain and, unless `below` forbids the domain itself, that domain.
    Domain {
        name: String,
        itself: bool,
        port: Option<u16>,
    },
}

impl Proxies {
    pub(super) fn new(settings: &ProxySettings) -> Result<Self, Error> {
        let text = |value: &Option<String>| value.clone().filter(|value| !value.trim().is_empty());
        let all = text(&settings.all);
        let parse =
            |value: Option<String>| value.or_else(|| all.clone()).map(|value| address(&value)).transpose();
        let (http, https) = (parse(text(&settings.http))?, parse(text(&settings.https))?);
        let none = settings.none.as_deref().unwrap_or_default();
        let words = none.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
        Ok(Self { http, https, exceptions: words.map(exception).collect() })
    }

    /// The proxy for a URL, if it goes through one.
    pub(super) fn of(&self, url: &Url) -> Option<&Url> {
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        let proxy = proxy.as_ref()?;
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        let host = host.to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return None;
        }
        let port = url.port_or_known_default();
        let excepted = self.exceptions.iter().any(|exception| exception.covers(&host, address, port));
        (!excepted).then_some(proxy)
    }

    /// How the proxy for a URL is called in messages.
    pub(super) fn name(&self, url: &Url) -> Option<String> {
        self.of(url).map(shown)
    }
}

/// A proxy's address; `http` unless it says otherwise.
fn address(text: &str) -> Result<Url, Error> {
    let text = text.trim();
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let unusable = |reason| Error::ProxyAddress { proxy: shown_url(&whole), reason };
    let url = Url::parse(&whole).map_err(|_| unusable("it is not a URL"))?;
    match url.scheme() {
        "http" | "https" if url.host_str().is_some() => Ok(url),
        "http" | "https" => Err(unusable("it has no host")),
        _ => Err(unusable("only `http` and `https` proxies are supported")),
    }
}

fn exception(word: &str) -> Exception {
    if word == "*" {
        return Exception::Everything;
    }
    if let Some((start, bits)) = word.split_once('/')
        && let (Ok(start), Ok(bits)) = (start.parse::<IpAddr>(), bits.parse::<u8>())
    {
        return Exception::Block(start, bits);
    }
    if let Ok(address) = word.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Exception::Address(address.to_canonical(), None);
    }
    let (name, port) = match word.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => (name, port.parse().ok()),
        _ => (word, None),
    };
    if let Ok(address) = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Exception::Address(address.to_canonical(), port);
    }
    let below = name.strip_prefix("*.");
    let name = below.unwrap_or_else(|| name.trim_start_matches('.')).trim_end_matches('.');
    Exception::Domain { name: name.to_ascii_lowercase(), itself: below.is_none(), port }
}

impl Exception {
    fn covers(&self, host: &str, address: Option<IpAddr>, port: Option<u16>) -> bool {
        match self {
            Self::Everything => true,
            Self::Block(start, bits) => address.is_some_and(|address| within(address, *start, *bits)),
            Self::Address(excepted, only) => address == Some(*excepted) && (only.is_none() || *only == port),
            Self::Domain { name, itself, port: only } => {
                let below = || host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                address.is_none()
                    && !name.is_empty()
                    && ((*itself && host == name) || below())
                    && (only.is_none() || *only == port)
            }
        }
    }
}

/// Whether the leading bits of two addresses of one family are the same.
fn within(address: IpAddr, start: IpAddr, bits: u8) -> bool {
    match (address, start) {
        (IpAddr::V4(address), IpAddr::V4(start)) if bits <= 32 => {
            let rest = |address: std::net::Ipv4Addr| u64::from(address.to_bits()) >> (32 - bits);
            rest(address) == rest(start)
        }
        (IpAddr::V6(address), IpAddr::V6(start)) if bits <= 128 => {
            let rest = |address: std::net::Ipv6Addr| address.to_bits().checked_shr(128 - u32::from(bits));
            rest(address) == rest(start)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxied(none: &str, url: &str) -> bool {
        let settings = ProxySettings {
            all: Some("user:secret@proxy.example:3128".to_owned()),
            none: Some(none.to_owned()),
            ..ProxySettings::default()
        };
        let proxies = Proxies::new(&settings).unwrap();
        proxies.of(&Url::parse(url).unwrap()).is_some()
    }

    #[test]
    fn d22_no_proxy_follows_the_rules_of_curl_and_go() {
        for (none, url, through) in [
            ("", "https://a.example/", true),
            ("*", "https://a.example/", false),
            ("b.example, a.example", "https://a.example/", false),
            ("b.example a.example", "https://a.example/", false),
            ("a.example", "https://x.A.Example/", false),
            ("a.example", "https://xa.example/", true),
            (".a.example", "https://x.a.example/", false),
            (".a.example", "https://a.example/", false),
            ("*.a.example", "https://x.a.example/", false),
            ("*.a.example", "https://a.example/", true),
            ("a.example.", "https://a.example/", false),
            ("a.example", "https://a.example./", false),
            ("a.example:5000", "https://a.example:5000/", false),
            ("a.example:5000", "https://a.example/", true),
            ("a.example:443", "https://a.example/", false),
            ("a.example:80", "http://a.example/", false),
            ("10.0.0.1", "http://10.0.0.1:5000/", false),
            ("10.0.0.1:5000", "http://10.0.0.1:5000/", false),
            ("10.0.0.1:5001", "http://10.0.0.1:5000/", true),
            ("10.0.0.0/8", "http://10.9.8.7/", false),
            ("10.0.0.0/8", "http://11.0.0.1/", true),
            ("0.0.0.0/0", "http://11.0.0.1/", false),
            ("0.0.0.0/0", "http://a.example/", true),
            ("fd00::/8", "http://[fd12::1]:5000/", false),
            ("::/0", "http://[fd12::1]/", false),
            ("[fd12::1]:5000", "http://[fd12::1]:5000/", false),
            ("[fd12::1]:5000", "http://[fd12::1]:5001/", true),
            ("fd12::1", "http://[fd12::1]:5001/", false),
            (".1", "http://10.0.0.1/", true),
            ("", "http://localhost:5000/", false),
            ("", "http://127.8.0.1/", false),
            ("", "http://[::1]:5000/", false),
            ("", "http://[::ffff:127.0.0.1]:5000/", false),
        ] {
            assert_eq!(proxied(none, url), through, "NO_PROXY `{none}` and {url}");
        }
    }

    #[test]
    fn d22_each_scheme_has_its_own_proxy_and_an_unusable_one_is_refused_without_its_password() {
        let settings = |http: &str, https: &str| ProxySettings {
            http: Some(http.to_owned()),
            https: Some(https.to_owned()),
            ..ProxySettings::default()
        };
        let proxies = Proxies::new(&settings("p.example:1", "https://u:secret@q.example:2")).unwrap();
        let name = |url: &str| proxies.name(&Url::parse(url).unwrap());
        assert_eq!(name("http://a.example/").as_deref(), Some("http://p.example:1/"));
        assert_eq!(name("https://a.example/").as_deref(), Some("https://q.example:2/"));
        for unusable in ["socks5://u:secret@p.example", "http://u:secret@", "http://u:secret@[x"] {
            let refused = Proxies::new(&settings(unusable, "")).err().unwrap().to_string();
            assert!(refused.contains("proxy") && !refused.contains("secret"), "{refused}");
        }
        assert!(Proxies::new(&settings("", " ")).unwrap().of(&Url::parse("http://a/").unwrap()).is_none());
    }
}
