//! Policies: who may do what, over the real server.

mod catalog;

mod clients;
mod isolation;
mod ldap;
mod matrix;
mod oidc;
mod tokens;

use std::sync::Arc;

use registry::server::access::{
    AccessConfig, Allow, CertificateConfig, CertificateName, NewRobot, Policies, PolicyConfig, RobotScope,
    Robots,
};
use registry::server::{Auth, Htpasswd, OidcConfig, OidcIssuer};
use time::{Duration, OffsetDateTime};

use crate::tokens::Issuer;

const PULL: &[Allow] = &[Allow::Pull];
const PUSH: &[Allow] = &[Allow::Push];
const WRITE: &[Allow] = &[Allow::Pull, Allow::Push];
const DELETE: &[Allow] = &[Allow::Pull, Allow::Delete];
const ADMIN: &[Allow] = &[Allow::Admin];

/// The users of the site. The password of each is `secret of NAME`.
const USERS: [&str; 5] = ["reader", "writer", "pusher", "deleter", "admin"];

/// A site with users, robot accounts and policies.
struct Site {
    auth: Auth,
    /// The secrets of the robot accounts, by name.
    secrets: Vec<(String, String)>,
    issuer: Issuer,
}

/// An issuer of tokens for `registry.site`.
fn oidc_config() -> OidcConfig {
    let config = serde_json::json!({ "issuer": "https://cluster", "audience": "registry.site" });
    serde_json::from_value(config).expect("no configuration")
}

/// A token of a service account in `team-b`.
fn pod_token(issuer: &Issuer, audience: &str) -> String {
    let expires = (OffsetDateTime::now_utc() + Duration::hours(1)).unix_timestamp();
    let user = "system:serviceaccount:team-b:app";
    let claims =
        serde_json::json!({ "iss": "https://cluster", "aud": [audience], "sub": user, "exp": expires });
    issuer.token("ES256", &claims)
}

impl Site {
    /// A site with these policies: patterns, subjects, actions.
    fn new(policies: &[(&str, &str, &[Allow])]) -> Self {
        let line = |user: &&str| {
            let hash = bcrypt::hash(format!("secret of {user}"), 4).expect("no hash");
            format!("{user}:{hash}\n")
        };
        let users = Htpasswd::parse(&USERS.iter().map(line).collect::<String>()).expect("no users");
        let now = OffsetDateTime::now_utc();
        let scope = vec![RobotScope {
            repositories: vec!["team-a/**".parse().expect("no pattern")],
            allow: vec![Allow::Pull, Allow::Push],
        }];
        let (mut robots, mut secrets) = (Robots::default(), Vec::new());
        let expires = Some(now - Duration::hours(1));
        for (number, name, scope, expires) in
            [(1, "ci", scope, None), (2, "expired", Vec::new(), expires), (3, "revoked", Vec::new(), None)]
        {
            let new = NewRobot { name: name.to_owned(), scope, expires, ..NewRobot::default() };
            let created = robots.create(new, now - Duration::hours(2), &[number; Robots::RANDOM]);
            let (with, secret) = created.expect("no robot");
            robots = with;
            secrets.push((name.to_owned(), secret));
        }
        let robots = robots.revoke("revoked", now).expect("not revoked");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let policy = |(repositories, to, allow): &(&str, &str, &[Allow])| PolicyConfig {
            repositories: words(repositories),
            to: words(to),
            allow: allow.to_vec(),
        };
        let group = |name: &str, member: &str| (name.to_owned(), vec![member.to_owned()]);
        let config = AccessConfig {
            groups: [group("writers", "writer"), group("pods", "group:system:serviceaccounts:team-b")].into(),
            certificates: Some(CertificateConfig {
                username_from: CertificateName::CommonName,
                username_prefix: "cert:".to_owned(),
            }),
            policies: policies.iter().map(policy).collect(),
            ..AccessConfig::default()
        };
        let policies = Policies::new(config, users, robots).expect("no policies");
        let issuer = Issuer::p256("one");
        let oidc = OidcIssuer::new(oidc_config(), Some(&issuer.keys()), None).expect("no issuer");
        Self { auth: Auth::Policies(Arc::new(policies.with_oidc(vec![oidc]))), secrets, issuer }
    }

    /// The user name and password of a caller.
    fn password(&self, name: &str) -> (String, String) {
        if let Some(audience) = name.strip_prefix("pod for ") {
            return ("<token>".to_owned(), pod_token(&self.issuer, audience));
        }
        match name.strip_prefix("robot$") {
            None => (name.to_owned(), format!("secret of {name}")),
            Some(robot) => {
                let known = self.secrets.iter().find(|(known, _)| known == robot).expect("no robot");
                (name.to_owned(), known.1.clone())
            }
        }
    }
}
