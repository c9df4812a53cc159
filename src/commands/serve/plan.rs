//! The effective configuration of a registry, from flags or from a file, and the rules for it. No I/O.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use bundle_signer::NameRule;
use oci::RegistryHost;
use registry::server::{Cidr, Limits};
use serde_json::{Value, json};
use store::NamingLimits;

use super::Serve;
use super::access::{Access, Anonymous};
use super::inbox;
use super::rules::{self, StoreRules};
use super::scrub::ScrubPlan;
use crate::cli::listen;
use crate::failure::Usage;
use crate::gates::name_rule;

/// The sockets of systemd, as `--listen` and messages name them.
const SYSTEMD: &str = "systemd";

/// The effective configuration.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) store: PathBuf,
    /// At least one.
    pub(super) listeners: Vec<Listen>,
    /// The local CA of all self-signed listeners.
    pub(super) authority: Authority,
    pub(super) read_only: bool,
    pub(super) access: Access,
    pub(super) trust: Option<PathBuf>,
    pub(super) gates: GateRules,
    pub(super) proxies: Vec<Cidr>,
    pub(super) limits: Limits,
    /// When the store is scrubbed.
    pub(super) scrub: Option<ScrubPlan>,
    /// The rules of the store. Flags leave those that the store has.
    pub(super) rules: Option<StoreRules>,
    /// How the rules name these settings in messages.
    pub(super) form: Form,
}

/// Where a configuration comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Flags,
    File,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listen {
    pub(super) at: At,
    pub(super) security: Security,
    /// The file with the CAs of client certificates.
    pub(super) client_ca: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Address(SocketAddr),
    Unix(PathBuf),
    /// The sockets that systemd passes, or those of them with a name.
    Systemd(Option<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Security {
    /// Plain HTTP; whether also on an address that other machines can reach.
    Plain { allowed: bool },
    /// A certificate from files.
    Files { cert: PathBuf, key: PathBuf },
    /// A certificate from the local CA.
    SelfSigned,
}

/// The local CA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Authority {
    /// Its folder. Default: `tls` in the store's folder.
    pub(super) folder: Option<PathBuf>,
    pub(super) names: Vec<String>,
}

/// How the gates of the trust file are evaluated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GateRules {
    pub(super) name_rule: NameRule,
    pub(super) registry_name: Option<RegistryHost>,
}

impl Plan {
    /// The configuration that the flags describe.
    pub(super) fn of_flags(settings: &Serve) -> anyhow::Result<Self> {
        let tls = &settings.tls;
        let security = match (&tls.tls_cert, &tls.tls_key) {
            (Some(cert), Some(key)) => Security::Files { cert: cert.clone(), key: key.clone() },
            _ if tls.self_signed => Security::SelfSigned,
            _ => Security::Plain { allowed: settings.allow_plain_http },
        };
        let anonymous = match (settings.anonymous_pull, settings.anonymous_push) {
            (_, true) => Some(Anonymous::Push),
            (true, false) => Some(Anonymous::Pull),
            (false, false) => None,
        };
        let Some(store) = settings.store.clone() else {
            let message = "no store is given".to_owned();
            return Err(Usage { message, hint: "give --store DIR, or a configuration with --file" }.into());
        };
        let limits = Limits {
            per_client: settings.connections_per_client,
            naming: naming(settings.referrers_per_user),
            ..Limits::default()
        };
        Ok(Self {
            store,
            listeners: vec![Listen { at: settings.listen.clone(), security, client_ca: None }],
            authority: Authority { folder: tls.tls_dir.clone(), names: tls.tls_name.clone() },
            read_only: settings.read_only,
            access: Access { htpasswd: settings.htpasswd.clone(), anonymous, ..Access::default() },
            trust: settings.trust.trust.clone(),
            gates: GateRules {
                name_rule: name_rule(&settings.gate),
                registry_name: settings.gate.registry_name.clone(),
            },
            proxies: settings.trusted_proxy.clone(),
            limits,
            scrub: None,
            rules: None,
            form: Form::Flags,
        })
    }

    /// Checks the rules.
    pub(super) fn check(&self) -> Result<(), Usage> {
        for listener in &self.listeners {
            let plain = listener.security == Security::Plain { allowed: false };
            if plain && listener.at.is_reachable() {
                let message = format!(
                    "`{}` is reachable by other machines, and plain HTTP is not encrypted",
                    listener.at
                );
                let hint = self.form.hint(
                    "use --self-signed or --tls-cert and --tls-key, or give --allow-plain-http",
                    "give the listener `tls`, or `plainHTTP: true`",
                );
                return Err(Usage { message, hint });
            }
        }
        self.access.check(self.form)?;
        if self.limits.inbox.is_some() && self.trust.is_none() {
            let message = "`gates.inbox` has no effect without `trust`".to_owned();
            return Err(Usage { message, hint: "name a trust file with the gate `push`, or remove `inbox`" });
        }
        let accepts = self.listeners.iter().any(|listener| listener.client_ca.is_some());
        self.access.check_certificates(accepts)?;
        if self.is_open_to_all() && self.access.anonymous != Some(Anonymous::Push) {
            let reached = self.listeners.iter().find(|listener| listener.at.is_reachable());
            let reached = reached.unwrap_or(&self.listeners[0]);
            let message = format!(
                "`{}` is reachable by other machines, and without a password file everyone could push and delete",
                reached.at
            );
            let hint = self.form.hint(
                "use --htpasswd FILE or --read-only, or give --anonymous-push",
                "set `access.htpasswd` or `readOnly: true`, or `access.anonymous: push`",
            );
            return Err(Usage { message, hint });
        }
        Ok(())
    }

    /// Whether users of other machines may push without a password. With a proxy, they reach any address.
    pub(super) fn is_open_to_all(&self) -> bool {
        let reached = self.listeners.iter().any(|listener| listener.at.is_reachable());
        let restricted = self.access.htpasswd.is_some() || self.access.policies.is_some();
        (reached || !self.proxies.is_empty()) && !restricted && !self.read_only
    }

    /// The folder of the local CA.
    pub(super) fn authority_folder(&self) -> PathBuf {
        self.authority.folder.clone().unwrap_or_else(|| self.store.join("tls"))
    }

    /// The first setting that differs from that of a running registry, and that it can only change when it restarts.
    pub(super) fn needs_restart(&self, running: &Self) -> Option<&'static str> {
        let sockets = |plan: &Self| -> Vec<_> {
            let is_secure = |listener: &Listen| !matches!(listener.security, Security::Plain { .. });
            let socket =
                |listener: &Listen| (listener.at.clone(), is_secure(listener), listener.client_ca.is_some());
            plan.listeners.iter().map(socket).collect()
        };
        let fixed = [
            ("store", self.store != running.store),
            ("listeners", sockets(self) != sockets(running)),
            ("trustedProxies", self.proxies != running.proxies),
            ("limits", self.limits != self.limits.with_fixed_of(&running.limits)),
        ];
        fixed.into_iter().find(|(_, differs)| *differs).map(|(name, _)| name)
    }
}

impl At {
    /// Reads an address as of [`listen`], `systemd`, or `systemd:NAME`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix(SYSTEMD) {
            Some("") => Ok(Self::Systemd(None)),
            // A name could be mistaken for a port.
            Some(name) if name.starts_with(':') && name[1..].parse::<u16>().is_err() && name.len() > 1 => {
                Ok(Self::Systemd(Some(name[1..].to_owned())))
            }
            _ => listen(text).map(Self::Address),
        }
    }

    /// Whether other machines can reach it.
    fn is_reachable(&self) -> bool {
        match self {
            Self::Address(address) => !address.ip().is_loopback(),
            Self::Unix(_) => false,
            // Its address is known only when it is taken.
            Self::Systemd(_) => true,
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(None) => f.write_str(SYSTEMD),
            Self::Systemd(Some(name)) => write!(f, "{SYSTEMD}:{name}"),
        }
    }
}

impl Listen {
    /// The URL of a listener at this address.
    pub(super) fn url(&self, bound: &At) -> String {
        match (bound, &self.security) {
            (At::Unix(_) | At::Systemd(_), _) => bound.to_string(),
            (At::Address(address), Security::Plain { .. }) => format!("http://{address}"),
            (At::Address(address), Security::Files { .. } | Security::SelfSigned) => {
                format!("https://{address}")
            }
        }
    }
}

impl Form {
    /// The hint for this form.
    pub(super) fn hint(self, flags: &'static str, file: &'static str) -> &'static str {
        match self {
            Self::Flags => flags,
            Self::File => file,
        }
    }
}

/// The limit for the referrers of one user; 0 is no limit. More referrers may have more bytes.
pub(super) fn naming(manifests: u64) -> Option<NamingLimits> {
    let usual = NamingLimits::default();
    let bytes = usual.bytes.saturating_mul(manifests.div_ceil(usual.manifests));
    (manifests > 0).then_some(NamingLimits { manifests, bytes })
}

/// The configuration as `--check` prints it.
pub(super) fn described(plan: &Plan) -> Value {
    let listener = |listener: &Listen| {
        let mut security = match &listener.security {
            Security::Plain { .. } => Value::Null,
            Security::Files { cert, key } => json!({ "cert": cert, "key": key }),
            Security::SelfSigned => {
                json!({ "selfSigned": true, "folder": plan.authority_folder(), "names": plan.authority.names })
            }
        };
        if let Some(path) = &listener.client_ca {
            security["clientCA"] = json!(path);
        }
        json!({ "listen": listener.at.to_string(), "tls": security })
    };
    let limits = &plan.limits;
    json!({
        "store": plan.store,
        "listeners": plan.listeners.iter().map(listener).collect::<Vec<_>>(),
        "readOnly": plan.read_only,
        "access": plan.access.described(),
        "openToAll": plan.is_open_to_all(),
        "trust": plan.trust,
        "inbox": plan.limits.inbox.map(inbox::described),
        "rules": plan.rules.as_ref().map(rules::described),
        "trustedProxies": plan.proxies.iter().map(Cidr::to_string).collect::<Vec<_>>(),
        "scrub": plan.scrub.map(|scrub| json!({ "everySeconds": scrub.every.as_secs(), "bytesPerSecond": scrub.rate })),
        "limits": {
            "connections": limits.connections,
            "connectionsPerClient": limits.per_client,
            "transfers": limits.transfers,
            "memoryMiB": limits.memory >> 20,
            "manifestMiB": limits.manifest_bytes >> 20,
            "tagsPerPush": limits.tags_per_push,
            "referrersPerUser": limits.naming.map_or(0, |naming| naming.manifests),
            "freeMiB": limits.free_bytes >> 20,
            "idleSeconds": limits.idle.as_secs(),
            "stallSeconds": limits.stall.as_secs(),
            "bytesPerSecond": limits.bytes_per_second,
            "drainSeconds": limits.drain.as_secs(),
        },
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn plan(address: &str) -> Plan {
        let at = At::Address(address.parse().unwrap());
        Plan {
            store: "store".into(),
            listeners: vec![Listen { at, security: Security::Plain { allowed: true }, client_ca: None }],
            authority: Authority::default(),
            read_only: false,
            access: Access::default(),
            trust: None,
            gates: GateRules::default(),
            proxies: Vec::new(),
            limits: Limits::default(),
            scrub: None,
            rules: None,
            form: Form::File,
        }
    }

    #[test]
    fn sockets_of_systemd_are_told_from_hosts() {
        for (text, expected) in [
            ("systemd", At::Systemd(None)),
            ("systemd:web.socket", At::Systemd(Some("web.socket".to_owned()))),
            (":5000", At::Address("0.0.0.0:5000".parse().unwrap())),
        ] {
            assert_eq!(At::parse(text), Ok(expected.clone()));
            assert_eq!(At::parse(&expected.to_string()), Ok(expected));
        }
        for wrong in ["systemd:", "systemd-host", "unix:a"] {
            assert!(At::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn plain_http_that_others_can_reach_must_be_allowed() {
        let mut open = Plan { read_only: true, ..plan("0.0.0.0:5000") };
        open.check().unwrap();
        open.listeners[0].security = Security::Plain { allowed: false };
        assert!(open.check().unwrap_err().message.contains("not encrypted"));
        open.listeners[0].at = At::Unix("/run/a.sock".into());
        open.check().unwrap();
        open.listeners.push(plan("192.0.2.1:5000").listeners[0].clone());
        open.listeners[1].security = Security::Plain { allowed: false };
        assert!(open.check().unwrap_err().message.contains("`192.0.2.1:5000`"));
    }

    #[test]
    fn anonymous_pushes_from_other_machines_must_be_allowed() {
        assert!(!plan("127.0.0.1:5000").is_open_to_all());
        let open = plan("0.0.0.0:5000");
        assert!(open.check().unwrap_err().message.contains("everyone could push"));
        let users = Access { htpasswd: Some("users".into()), ..Access::default() };
        let allowed = Access { anonymous: Some(Anonymous::Push), ..Access::default() };
        for plan in [
            Plan { read_only: true, ..open.clone() },
            Plan { access: users, ..open.clone() },
            Plan { access: allowed, ..open.clone() },
        ] {
            plan.check().unwrap();
        }
        // Behind a proxy, every address can be reached.
        let proxied = Plan { proxies: vec!["127.0.0.1".parse().unwrap()], ..plan("127.0.0.1:5000") };
        assert!(proxied.check().unwrap_err().message.contains("everyone could push"));
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        let running = plan("127.0.0.1:5000");
        let change = |edit: &dyn Fn(&mut Plan)| {
            let mut new = running.clone();
            edit(&mut new);
            new.needs_restart(&running)
        };
        assert_eq!(change(&|_| ()), None);
        assert_eq!(change(&|new| new.store = "other".into()), Some("store"));
        assert_eq!(change(&|new| new.listeners[0].security = Security::SelfSigned), Some("listeners"));
        assert_eq!(change(&|new| new.listeners[0].at = At::Unix("a".into())), Some("listeners"));
        assert_eq!(change(&|new| new.limits.transfers = 1), Some("limits"));
        assert_eq!(change(&|new| new.limits.idle *= 2), Some("limits"));
        assert_eq!(change(&|new| new.proxies = vec!["10.0.0.0/8".parse().unwrap()]), Some("trustedProxies"));
        let can_change = |new: &mut Plan| {
            (new.read_only, new.limits.naming, new.limits.manifest_bytes) = (true, None, 1 << 20);
            new.access.htpasswd = Some("users".into());
            new.trust = Some("trust.yaml".into());
        };
        assert_eq!(change(&can_change), None);
        let certificate = |name: &str| Security::Files { cert: name.into(), key: name.into() };
        let secure = |name: &str| {
            let mut new = running.clone();
            new.listeners[0].security = certificate(name);
            new
        };
        assert_eq!(secure("a").needs_restart(&secure("b")), None);
        let identifying = |name: &str| {
            let mut new = secure("a");
            new.listeners[0].client_ca = Some(name.into());
            new
        };
        assert_eq!(identifying("a").needs_restart(&identifying("b")), None);
        assert_eq!(identifying("a").needs_restart(&secure("a")), Some("listeners"));
    }
}
