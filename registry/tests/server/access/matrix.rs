//! Every route, for every kind of caller, in every repository, compared with decisions that are computed here.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use http::Method;
use oci::Digest;
use registry::server::access::Allow::{self, Delete, Pull, Push};

use super::{ADMIN, DELETE, PULL, PUSH, Site, WRITE};
use crate::secure::Secure;
use crate::support::{Client, Response};
use crate::{Server, parameter};

const POLICIES: &[(&str, &str, &[Allow])] = &[
    ("public/*", "anonymous", PULL),
    ("team-a/** shared", "user:reader", PULL),
    ("team-a/**", "group:writers", WRITE),
    ("team-a/**", "user:pusher", PUSH),
    ("team-a/** team-b/app", "user:deleter", DELETE),
    ("**", "user:admin", ADMIN),
    ("**", "robot:ci robot:expired robot:revoked", WRITE),
    ("team-b/**", "group:pods", PULL),
    ("team-b/app", "user:cert:machine", WRITE),
    ("shared", "authenticated", PULL),
];

/// The last one does not exist.
const REPOSITORIES: [&str; 6] =
    ["public/base", "team-a/app", "team-a/deep/app", "team-b/app", "shared", "team-a/none"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Anonymous,
    /// The right name with a wrong password.
    Wrong(&'static str),
    /// An account that has ended, with the right secret.
    Ended(&'static str),
    Known(&'static str),
    /// By a client certificate for this name.
    Certified(&'static str),
}

const CALLERS: [Who; 16] = [
    Who::Anonymous,
    Who::Wrong("admin"),
    Who::Wrong("nobody"),
    Who::Wrong("robot$ci"),
    Who::Ended("robot$expired"),
    Who::Ended("robot$revoked"),
    Who::Known("reader"),
    Who::Known("writer"),
    Who::Known("pusher"),
    Who::Known("deleter"),
    Who::Known("admin"),
    Who::Known("robot$ci"),
    // A token of a service account, for this registry and for another one.
    Who::Known("pod for registry.site"),
    Who::Ended("pod for other.site"),
    Who::Certified("machine"),
    Who::Certified("admin"),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Basic,
    Bearer,
}

/// The expected decision, written without patterns and policies.
fn may(who: Who, repository: &str, action: Allow) -> bool {
    let (public, shared) = (repository == "public/base", repository == "shared");
    let team_a = ["team-a/app", "team-a/deep/app", "team-a/none"].contains(&repository);
    let own = match who {
        Who::Wrong(_) | Who::Ended(_) => return false,
        Who::Anonymous => false,
        Who::Known("reader") => (team_a || shared) && action == Pull,
        Who::Known("writer") => (team_a && action != Delete) || (shared && action == Pull),
        Who::Known("pusher") => (team_a && action == Push) || (shared && action == Pull),
        Who::Known("deleter") => {
            ((team_a || repository == "team-b/app") && action != Push) || (shared && action == Pull)
        }
        Who::Known("admin") => true,
        // Its scope is team-a/**, so it may not even pull what all users may pull.
        Who::Known("robot$ci") => team_a && action != Delete,
        Who::Known("pod for registry.site") => (repository == "team-b/app" || shared) && action == Pull,
        Who::Certified("machine") => {
            (repository == "team-b/app" && action != Delete) || (shared && action == Pull)
        }
        Who::Certified(_) => shared && action == Pull,
        Who::Known(other) => unreachable!("{other}"),
    };
    own || (public && action == Pull)
}

/// The state that the test expects the store to have.
struct Rig {
    server: Server,
    secure: Secure,
    site: Site,
    /// The blobs of each repository: one for reading, one to mount by name, one to mount from anywhere.
    blobs: BTreeMap<(&'static str, usize), Digest>,
    manifests: BTreeMap<&'static str, Digest>,
    /// The repositories that have each blob that is mounted from anywhere.
    holders: BTreeMap<Digest, Vec<&'static str>>,
    /// The tokens, by caller and scopes.
    tokens: BTreeMap<String, Option<String>>,
    requests: usize,
    allowed: usize,
}

impl Rig {
    async fn new() -> Self {
        let site = Site::new(POLICIES);
        let auth = site.auth.clone();
        let secure = Secure::new();
        let server = Server::start_secure(&secure, |config| config.auth = auth).await;
        let (mut blobs, mut manifests, mut holders) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for repository in &REPOSITORIES[..5] {
            for number in 0..3 {
                let digest = server.add(repository, format!("{repository} {number}").as_bytes());
                if number == 2 {
                    holders.insert(digest.clone(), vec![*repository]);
                }
                blobs.insert((*repository, number), digest);
            }
            manifests.insert(*repository, server.add_image(repository, "v1", repository.as_bytes()));
        }
        let tokens = BTreeMap::new();
        Self { server, secure, site, blobs, manifests, holders, tokens, requests: 0, allowed: 0 }
    }

    /// A client with its own address, so that no limit on refusals delays the test.
    fn client(&self, who: Who) -> Client {
        let [_, b, c, d] = u32::try_from(self.requests + 1).expect("too many").to_be_bytes();
        let own = if let Who::Certified(name) = who { Some(self.secure.client(name)) } else { None };
        let address = IpAddr::V4(Ipv4Addr::new(127, 100 + b, c, d));
        Client::with(Some(address), Some(self.secure.root.clone()), own)
    }

    async fn token(&mut self, who: Who, scopes: &str) -> Option<String> {
        let refused = matches!(who, Who::Wrong(_) | Who::Ended(_));
        let key = format!("{who:?} {}", if refused { "" } else { scopes });
        if let Some(token) = self.tokens.get(&key) {
            return token.clone();
        }
        let client = self.client(who);
        let mut request = client.get(self.server.url(&format!("/token?service=airlock&{scopes}")));
        if let Some((user, password)) = self.password(who) {
            request = request.basic_auth(user, Some(&password));
        }
        let answer = request.send().await.expect("no answer");
        assert_eq!(answer.status(), if refused { 401 } else { 200 }, "{who:?}");
        let body: serde_json::Value =
            serde_json::from_slice(&answer.bytes().await.expect("no body")).expect("no JSON");
        let token = body["token"].as_str().map(str::to_owned);
        self.tokens.insert(key, token.clone());
        token
    }

    fn password(&self, who: Who) -> Option<(String, String)> {
        match who {
            Who::Anonymous | Who::Certified(_) => None,
            Who::Wrong(name) => Some((name.to_owned(), "wrong".to_owned())),
            Who::Ended(name) | Who::Known(name) => Some(self.site.password(name)),
        }
    }

    /// Sends a request as a caller, with a token for these repositories.
    async fn send(
        &mut self,
        (who, by): (Who, By),
        scoped: &[&str],
        (method, path, body): (Method, &str, &[u8]),
    ) -> Response {
        let client = self.client(who);
        let mut request = client.request(method, self.server.url(path)).body(body.to_vec());
        match by {
            By::Basic => {
                if let Some((user, password)) = self.password(who) {
                    request = request.basic_auth(user, Some(&password));
                }
            }
            By::Bearer => {
                let scope = |name: &&str| format!("scope=repository:{name}:pull,push,delete&");
                let scopes: String = scoped.iter().map(scope).collect();
                let token = self.token(who, &scopes).await.unwrap_or_else(|| "none".to_owned());
                request = request.bearer_auth(&token);
            }
        }
        self.requests += 1;
        request.send().await.expect("no answer")
    }

    /// Checks that a request is refused, or has one of the expected results.
    async fn check(
        &mut self,
        caller: (Who, By),
        action: Allow,
        repository: &str,
        (method, path, body): (Method, &str, &[u8]),
        good: u16,
    ) {
        let allowed = may(caller.0, repository, action);
        let is_head = method == Method::HEAD;
        let what = format!("{caller:?} {method} {path}");
        let answer = self.send(caller, &[repository], (method, path, body)).await;
        let status = answer.status().as_u16();
        if allowed {
            self.allowed += 1;
            let exists = repository != "team-a/none";
            assert!(status == good || (!exists && [200, 404].contains(&status)), "{what}: {status}");
            return;
        }
        self.assert_refused(caller, answer, &what, is_head).await;
    }

    async fn assert_refused(&self, (who, by): (Who, By), answer: Response, what: &str, is_head: bool) {
        let status = answer.status().as_u16();
        let (expected, code) =
            if let Who::Known(_) | Who::Certified(_) = who { (403, "DENIED") } else { (401, "UNAUTHORIZED") };
        assert_eq!(status, expected, "{what}");
        if status == 401 {
            let challenge = answer.headers()["www-authenticate"].to_str().expect("no text");
            assert!(challenge.starts_with("Bearer realm="), "{what}: {challenge}");
            let fault = match (who, by) {
                (_, By::Basic) => None,
                (Who::Anonymous, By::Bearer) => Some("insufficient_scope"),
                (_, By::Bearer) => Some("invalid_token"),
            };
            let found = challenge.contains("error=").then(|| parameter(challenge, "error"));
            assert_eq!(found.as_deref(), fault, "{what}");
        }
        let body = answer.text().await.expect("no body");
        assert!(is_head || body.contains(code), "{what}: {body}");
    }

    async fn reads(&mut self, caller: (Who, By), repository: &'static str) {
        let digest = self.manifests.get(repository).cloned().unwrap_or_else(|| Digest::sha256(b""));
        let blob = self.blobs.get(&(repository, 0)).cloned().unwrap_or_else(|| Digest::sha256(b""));
        for path in [
            "manifests/v1".to_owned(),
            format!("manifests/{digest}"),
            format!("blobs/{blob}"),
            "tags/list".to_owned(),
            format!("referrers/{digest}"),
        ] {
            for method in [Method::GET, Method::HEAD] {
                let path = format!("/v2/{repository}/{path}");
                self.check(caller, Pull, repository, (method, &path, b""), 200).await;
            }
        }
    }

    async fn writes(&mut self, caller: (Who, By), repository: &'static str) {
        // Sessions that exist, so that an allowed request has a result.
        let name: oci::RepositoryName = repository.parse().expect("no name");
        let session = || self.server.store.create_upload(&name).expect("no session");
        let sessions: Vec<String> =
            (0..4).map(|_| format!("/v2/{repository}/blobs/uploads/{}", session())).collect();
        let (bytes, digest) = (b"new".as_slice(), Digest::sha256(b"new"));
        let finish = format!("{}?digest={digest}", sessions[1]);
        let start = format!("/v2/{repository}/blobs/uploads/");
        let whole = format!("{start}?digest={digest}");
        let put = format!("/v2/{repository}/manifests/v1");
        let index =
            br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
        for (method, path, body, good) in [
            (Method::POST, &start, &b""[..], 202),
            (Method::POST, &whole, bytes, 201),
            (Method::PATCH, &sessions[0], bytes, 202),
            (Method::PUT, &finish, bytes, 201),
            (Method::GET, &sessions[2], b"", 204),
            (Method::HEAD, &sessions[2], b"", 204),
            (Method::DELETE, &sessions[3], b"", 204),
            // It overwrites an existing tag.
            (Method::PUT, &put, index, 201),
        ] {
            // Pushing makes a repository, so a push into one that does not exist is checked for refusals alone.
            if repository != "team-a/none" || !may(caller.0, repository, Push) {
                self.check(caller, Push, repository, (method, path, body), good).await;
            }
        }
        for session in sessions {
            let id = session.rsplit('/').next().expect("no id").parse().expect("no id");
            // It may have ended.
            let _ = self.server.store.cancel_upload(&name, &id);
        }
    }

    async fn deletes(&mut self, caller: (Who, By), repository: &'static str) {
        let exists = repository != "team-a/none";
        let digest = self.manifests.get(repository).cloned().unwrap_or_else(|| Digest::sha256(b""));
        for path in ["manifests/v1".to_owned(), format!("manifests/{digest}"), "blobs".to_owned()] {
            let path = if path == "blobs" {
                let blob = if exists { self.server.add(repository, b"unused") } else { digest.clone() };
                format!("/v2/{repository}/blobs/{blob}")
            } else {
                if exists && may(caller.0, repository, Delete) {
                    self.server.add_image(repository, "v1", repository.as_bytes());
                }
                format!("/v2/{repository}/{path}")
            };
            self.check(caller, Delete, repository, (Method::DELETE, &path, b""), 202).await;
        }
        if exists {
            self.server.add_image(repository, "v1", repository.as_bytes());
        }
    }

    /// Mounts from each repository by name, and from anywhere.
    async fn mounts(&mut self, caller: (Who, By), target: &'static str) {
        let (who, by) = caller;
        for source in &REPOSITORIES[..5] {
            let pull = may(who, source, Pull);
            for (number, from) in [(1, format!("&from={source}")), (2, String::new())] {
                let blob = self.blobs[&(*source, number)].clone();
                let found = match number {
                    1 => pull,
                    _ => self.holders[&blob].iter().any(|holder| {
                        may(who, holder, Pull) && (by == By::Basic || holder == source || *holder == target)
                    }),
                };
                let path = format!("/v2/{target}/blobs/uploads/?mount={blob}{from}");
                let what = format!("{caller:?} {path}");
                let answer = self.send(caller, &[target, source], (Method::POST, &path, b"")).await;
                if !may(who, target, Push) {
                    self.assert_refused(caller, answer, &what, false).await;
                    continue;
                }
                self.allowed += 1;
                assert_eq!(answer.status(), if found { 201 } else { 202 }, "{what}");
                let location = answer.headers()["location"].to_str().expect("no text").to_owned();
                if found && number == 2 && !self.holders[&blob].contains(&target) {
                    self.holders.get_mut(&blob).expect("no holders").push(target);
                }
                if !found {
                    let id = location.rsplit('/').next().expect("no id").parse().expect("no id");
                    let ended = self.server.store.cancel_upload(&target.parse().expect("no name"), &id);
                    assert!(ended.expect("not cancelled"), "an ordinary session");
                }
            }
        }
    }

    /// The routes without a repository.
    async fn others(&mut self, caller: (Who, By)) {
        let (who, by) = caller;
        for path in ["/livez", "/readyz"] {
            assert_eq!(self.send(caller, &[], (Method::GET, path, b"")).await.status(), 200, "{path}");
        }
        let status = match (who, by) {
            (Who::Anonymous, By::Basic) | (Who::Wrong(_) | Who::Ended(_), _) => 401,
            (Who::Anonymous, By::Bearer) | (Who::Known(_) | Who::Certified(_), _) => 200,
        };
        let answer = self.send(caller, &[], (Method::GET, "/v2/", b"")).await;
        assert_eq!(answer.status(), status, "{caller:?}");
        let client = self.client(who);
        let mut request = client.get(self.server.url("/v2/_catalog"));
        if by == By::Bearer {
            let token = self.token(who, "scope=registry:catalog:*").await.unwrap_or_default();
            request = request.bearer_auth(&token);
        } else if let Some((user, password)) = self.password(who) {
            request = request.basic_auth(user, Some(&password));
        }
        self.requests += 1;
        let answer = request.send().await.expect("no answer");
        if let Who::Wrong(_) | Who::Ended(_) = who {
            assert_eq!(answer.status(), 401);
            return;
        }
        let body = answer.text().await.expect("no body");
        let list: oci::distribution::Catalog = serde_json::from_str(&body).expect("no list");
        let mut seen: Vec<&str> = REPOSITORIES.into_iter().filter(|name| may(who, name, Pull)).collect();
        seen.retain(|name| *name != "team-a/none");
        seen.sort_unstable();
        assert_eq!(list.repositories, seen, "{caller:?}");
    }
}

#[tokio::test]
async fn every_route_decides_as_the_policies_say() {
    let mut rig = Rig::new().await;
    for by in [By::Basic, By::Bearer] {
        for who in CALLERS {
            rig.others((who, by)).await;
            // Whoever cannot log in is refused before the repository matters, and after a delay.
            let some = if let Who::Wrong(_) | Who::Ended(_) = who { 2 } else { REPOSITORIES.len() };
            for repository in &REPOSITORIES[..some] {
                rig.reads((who, by), repository).await;
                rig.writes((who, by), repository).await;
                rig.deletes((who, by), repository).await;
                if *repository != "team-a/none" {
                    rig.mounts((who, by), repository).await;
                }
            }
        }
    }
    let (requests, allowed) = (rig.requests, rig.allowed);
    println!("{requests} requests, {allowed} of them allowed, as expected");
    assert!(requests > 4000 && allowed > 900 && allowed < requests / 2, "{requests} {allowed}");
}
