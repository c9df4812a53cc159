//! What each client can do with a registry that requires a log-in over TLS: log in, push, pull and delete as the policies
//! allow, and nothing else. The table lists the clients; every client goes through the same steps. `inbox`: clients that
//! push by tag only, through a gate.

mod inbox;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::programs::{folder, require};
use crate::rig::{Containerd, Process, Site, wait_for};

/// A client, with the shell commands of its actions. `$HOST` is the registry; `$IMAGE` is the image, `$HOST/$REPOSITORY:$TAG`;
/// `$BASE` is an image that was pulled before.
struct Client {
    name: &'static str,
    programs: &'static [&'static str],
    /// None if credentials are given with each command.
    log_in: Option<&'static str>,
    pull: &'static str,
    /// None if the client only pulls.
    push: Option<&'static str>,
    /// None if the client cannot delete.
    delete: Option<&'static str>,
    /// Whether it pushes what it pulled before.
    pulls_first: bool,
    /// Whether the client itself connects to the registry, and not a daemon.
    connects: bool,
}

const LOG_IN: Option<&str> = Some("$CLIENT login --username $WHO --password \"$PASSWORD\" $HOST");
/// cosign's push is a signature, and its pull is a verification.
const COSIGN: Client = Client {
    name: "cosign",
    programs: &[],
    log_in: LOG_IN,
    pull: "$CLIENT verify --key ../cosign.pub --insecure-ignore-tlog $IMAGE",
    push: None,
    delete: Some("$CLIENT clean --force $IMAGE"),
    pulls_first: false,
    connects: true,
};
const CLIENTS: [Client; 12] = [
    Client {
        name: "skopeo",
        programs: &["skopeo"],
        log_in: LOG_IN,
        pull: "skopeo copy --quiet docker://$IMAGE oci:image:1",
        push: Some("skopeo copy --quiet oci:image:1 docker://$IMAGE"),
        delete: Some("skopeo delete docker://$IMAGE"),
        pulls_first: true,
        connects: true,
    },
    Client {
        name: "podman",
        programs: &["podman"],
        log_in: LOG_IN,
        pull: "podman pull --quiet $IMAGE",
        push: Some("podman push --quiet $BASE $IMAGE"),
        delete: None,
        pulls_first: true,
        connects: true,
    },
    Client {
        name: "buildah",
        programs: &["buildah"],
        log_in: LOG_IN,
        pull: "buildah pull --quiet $IMAGE",
        push: Some("buildah push --quiet $BASE docker://$IMAGE"),
        delete: None,
        pulls_first: true,
        connects: true,
    },
    // Its daemon trusts every certificate on a loopback address.
    Client {
        name: "docker",
        programs: &["docker", "dockerd", "containerd", "unshare"],
        log_in: LOG_IN,
        pull: "docker pull --quiet $IMAGE",
        push: Some("docker tag $BASE $IMAGE && docker push --quiet $IMAGE"),
        delete: None,
        pulls_first: true,
        connects: false,
    },
    Client {
        name: "ctr",
        programs: &["ctr", "containerd"],
        log_in: None,
        pull: "ctr --address $CONTAINERD images pull --hosts-dir $HOSTS ${WHO:+--user \"$WHO:$PASSWORD\"} $IMAGE",
        push: Some(
            "ctr --address $CONTAINERD images push --hosts-dir $HOSTS ${WHO:+--user \"$WHO:$PASSWORD\"} $IMAGE $BASE",
        ),
        delete: None,
        pulls_first: true,
        connects: false,
    },
    // The interface of containerd that the kubelet uses.
    Client {
        name: "crictl",
        programs: &["crictl", "containerd"],
        log_in: None,
        pull: "crictl --config ../crictl.yaml pull ${WHO:+--creds \"$WHO:$PASSWORD\"} $IMAGE",
        push: None,
        delete: None,
        pulls_first: true,
        connects: false,
    },
    Client {
        name: "crane",
        programs: &["crane"],
        log_in: Some("crane auth login --username $WHO --password \"$PASSWORD\" $HOST"),
        pull: "crane pull --format oci $IMAGE image",
        push: Some("crane push image $IMAGE"),
        delete: Some("crane delete $IMAGE"),
        pulls_first: true,
        connects: true,
    },
    Client {
        name: "regctl",
        programs: &["regctl"],
        log_in: Some("regctl registry login --user $WHO --pass \"$PASSWORD\" $HOST"),
        pull: "regctl image export $IMAGE new.tar && mv new.tar image.tar",
        push: Some("regctl image import $IMAGE image.tar"),
        delete: Some("regctl manifest delete --force-tag-dereference $IMAGE"),
        pulls_first: true,
        connects: true,
    },
    Client {
        name: "oras",
        programs: &["oras"],
        log_in: LOG_IN,
        pull: "oras copy --to-oci-layout $IMAGE image:1",
        push: Some("oras copy --from-oci-layout image:1 $IMAGE"),
        delete: Some("oras manifest delete --force $IMAGE"),
        pulls_first: true,
        connects: true,
    },
    Client {
        name: "helm",
        programs: &["helm"],
        log_in: Some("helm registry login --username $WHO --password \"$PASSWORD\" $HOST"),
        pull: "helm pull oci://$HOST/$REPOSITORY --version $TAG",
        push: Some("helm package ../helm && helm push helm-$TAG.tgz oci://$HOST/${REPOSITORY%/*}"),
        delete: None,
        pulls_first: false,
        connects: true,
    },
    Client {
        name: "cosign2",
        programs: &["cosign2"],
        push: Some("$CLIENT sign --key ../cosign.key --tlog-upload=false $IMAGE"),
        ..COSIGN
    },
    Client {
        name: "cosign3",
        programs: &["cosign3"],
        push: Some(
            "$CLIENT signing-config create --out config.json && \
             $CLIENT sign --key ../cosign.key --signing-config config.json $IMAGE",
        ),
        ..COSIGN
    },
];

const TAG: &str = "0.1.0";
/// An image that both users may pull.
const BASE: &str = "team/base";
/// An image that none of them may pull.
const SECRET: &str = "registry.example/demo/airlock";
/// The password of all users.
const PASSWORD: &str = "open sesame";
const HASH: &str = "$2y$05$DNTZIRj6ATkCh9at1M0IfuZCGpbfhnahBQzJ8/zltIw1bV9Bya8xe";
const CONFIG: &str = "apiVersion: airlock.dev/v1alpha1
kind: RegistryConfig
store: site
listeners: [{address: '127.0.0.1:0', tls: {selfSigned: true, folder: tls}}]
access:
  htpasswd: users
  robots: robots.json
  policies:
    - {repositories: ['team/**'], to: ['user:alice'], allow: [pull, push, delete]}
    - {repositories: ['team/**'], to: ['robot:reader'], allow: [pull]}
    - {repositories: ['registry.example/**'], to: ['user:carol'], allow: [pull]}
";
/// What users see of a refusal, in lower case.
const REFUSED: [&str; 3] = ["denied", "unauthorized", "invalid username/password"];
/// What users see if something does not exist.
const ABSENT: [&str; 3] = ["not found", "unknown", "no signatures found"];

/// Creates a layer, a chart and the configuration of crictl.
const FILES: &str = "
    mkdir seed helm && echo hello >seed/hello && tar -cf seed/layer.tar -C seed hello
    printf 'apiVersion: v2\\nname: helm\\nversion: %s\\n' $TAG >helm/Chart.yaml
    printf 'runtime-endpoint: unix://%s\\nimage-endpoint: unix://%s\\n' $CONTAINERD $CONTAINERD >crictl.yaml";
/// Pushes the images, and creates the key of the signatures.
const IMAGES: &str = "
    podman import --quiet seed/layer.tar base
    for name in base cosign2 cosign3; do
      podman push --quiet --creds \"alice:$PASSWORD\" base $HOST/team/$name:$TAG
    done
    for cosign in cosign2 cosign3; do
      if command -v $cosign; then $cosign generate-key-pair; break; fi
    done";

/// A registry with policies and a robot account, and the daemons of the clients that have one.
struct Rig {
    registry: Process,
    /// The secret of the robot account.
    secret: String,
    _dockerd: Option<Process>,
    _containerd: Option<Containerd>,
    site: Site,
}

/// A client of one user, whose files are in a folder of its own.
struct Session<'a> {
    rig: &'a Rig,
    client: &'a Client,
    user: &'a str,
    password: &'a str,
    home: PathBuf,
}

impl Rig {
    /// Serves the store of a site with a configuration.
    fn start(site: Site, config: &str) -> Self {
        let users = ["alice", "carol"].map(|name| format!("{name}:{HASH}\n"));
        fs::write(site.path("users"), users.concat()).unwrap();
        fs::write(site.path("registry.yaml"), config).unwrap();
        let robot = ["robot", "create", "reader", "--file", "robots.json", "--output", "json"];
        let robot: Value = serde_json::from_str(&site.airlock(&robot)).unwrap();
        let secret = robot["secret"].as_str().unwrap().to_owned();
        let registry = site.serve_file("registry.yaml");
        let containerd = containerd(&site, &registry.address);
        let dockerd = containerd.as_ref().and_then(|_| dockerd(&site));
        let rig = Self { registry, secret, _dockerd: dockerd, _containerd: containerd, site };
        rig.alice().works(FILES, BASE);
        rig
    }

    /// A session in the site's folder.
    fn alice(&self) -> Session<'_> {
        let home = self.site.path("");
        Session { rig: self, client: &CLIENTS[1], user: "alice", password: PASSWORD, home }
    }

    fn session<'a>(&'a self, client: &'a Client, user: &'a str, password: &'a str) -> Session<'a> {
        let home = tempfile::tempdir_in(self.site.path("")).unwrap().keep();
        let session = Session { rig: self, client, user, password, home };
        // Some clients only store the password, so a wrong one fails later.
        if let Some(script) = client.log_in.filter(|_| !user.is_empty()) {
            let output = session.run(script, BASE);
            let failed = password != PASSWORD && password != self.secret;
            assert!(output.status.success() || failed, "{}", text(script, &output));
        }
        session
    }
}

/// A containerd that trusts the registry's CA.
fn containerd(site: &Site, address: &str) -> Option<Containerd> {
    if !require(&["containerd", "ctr"]) {
        return None;
    }
    let hosts = site.path("hosts").join(address);
    fs::create_dir_all(&hosts).unwrap();
    let ca = site.path("tls/ca.crt");
    let text = format!("server = 'https://{address}'\n[host.'https://{address}']\nca = '{}'\n", ca.display());
    fs::write(hosts.join("hosts.toml"), text).unwrap();
    Some(Containerd::with_images(&site.path("containerd"), &site.path("hosts")))
}

/// Docker's daemon with the containerd of the test, in a mount namespace of its own: it mounts its folder.
fn dockerd(site: &Site) -> Option<Process> {
    if !require(&["docker", "dockerd", "unshare"]) {
        return None;
    }
    let (at, socket) = (site.path("docker"), site.path("docker.sock"));
    fs::create_dir(&at).unwrap();
    let log = File::create(at.join("log")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false"]);
    command.args(["--storage-driver=vfs", "--containerd"]).arg(site.path("containerd/sock"));
    for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
        command.arg(flag).arg(at.join(name));
    }
    command.arg("--host").arg(format!("unix://{}", socket.display()));
    let process = Process::of(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    wait_for("dockerd", || std::os::unix::net::UnixStream::connect(&socket).ok());
    Some(process)
}

impl Session<'_> {
    /// Runs a script of the client with the registry's CA.
    fn run(&self, script: &str, repository: &str) -> Output {
        self.run_trusting(&self.rig.site.path("tls/ca.crt"), script, repository)
    }

    fn run_trusting(&self, ca: &Path, script: &str, repository: &str) -> Output {
        let (site, host, home) = (&self.rig.site, &self.rig.registry.address, self.home.display());
        let storage = self.home.join("storage.conf");
        fs::write(
            &storage,
            format!("[storage]\ndriver = 'vfs'\nrunroot = '{home}/run'\ngraphroot = '{home}/root'\n"),
        )
        .unwrap();
        // The default file is shared by all users of these programs.
        let logins = self.home.join("auth.json");
        if !logins.exists() {
            fs::write(&logins, "{}").unwrap();
        }
        let path = std::env::var("PATH").unwrap();
        Command::new("sh")
            .args(["-euc", script])
            .current_dir(&self.home)
            .env_clear()
            .env("PATH", format!("{}:{path}", folder().join("bin").display()))
            .env("HOME", &self.home)
            .env("SSL_CERT_FILE", ca)
            .env("CONTAINERS_STORAGE_CONF", storage)
            .env("REGISTRY_AUTH_FILE", logins)
            .env("DOCKER_HOST", format!("unix://{}", site.path("docker.sock").display()))
            .env("CONTAINERD", site.path("containerd/sock"))
            .env("HOSTS", site.path("hosts"))
            .envs([
                ("COSIGN_PASSWORD", "secret"),
                ("COSIGN_YES", "true"),
                ("CLIENT", self.client.name),
                ("TAG", TAG),
            ])
            .envs([
                ("HOST", host.as_str()),
                ("REPOSITORY", repository),
                ("WHO", self.user),
                ("PASSWORD", self.password),
            ])
            .envs([("IMAGE", format!("{host}/{repository}:{TAG}")), ("BASE", format!("{host}/{BASE}:{TAG}"))])
            .output()
            .unwrap()
    }

    fn works(&self, script: &str, repository: &str) {
        let output = self.run(script, repository);
        assert!(output.status.success(), "{} {repository}: {}", self.client.name, text(script, &output));
    }

    /// Expects a failure whose text has one of the words.
    fn fails(&self, script: &str, repository: &str, words: &[&str]) {
        let output = self.run(script, repository);
        let said = text(script, &output);
        // `cosign clean` ends with success.
        let good = output.status.success() && !script.contains(" clean ");
        assert!(!good, "{} {repository} was not refused: {said}", self.client.name);
        let lower = said.to_lowercase();
        assert!(words.iter().any(|word| lower.contains(word)), "{} {repository}: {said}", self.client.name);
    }
}

fn text(script: &str, output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    format!("{script}\n{}", String::from_utf8_lossy(&said))
}

/// The same steps for every client.
fn check(rig: &Rig, client: &Client) {
    let Client { pull, push, delete, .. } = *client;
    let own = push.map_or_else(|| BASE.to_owned(), |_| format!("team/{}", client.name));
    let first = if client.pulls_first { BASE } else { own.as_str() };
    rig.session(client, "alice", "wrong").fails(pull, first, &REFUSED);
    rig.session(client, "", "").fails(pull, first, &REFUSED);
    let reader = rig.session(client, "robot$reader", &rig.secret);
    let alice = rig.session(client, "alice", PASSWORD);
    if client.connects {
        let output = alice.run_trusting(Path::new("/dev/null"), pull, first);
        let said = text(pull, &output);
        assert!(!output.status.success() && said.contains("x509"), "{}: {said}", client.name);
    }
    for session in [&reader, &alice] {
        session.fails(pull, SECRET, &REFUSED);
        if client.pulls_first {
            session.works(pull, BASE);
        }
    }
    let Some(push) = push else { return };
    reader.fails(push, &own, &REFUSED);
    alice.fails(pull, &own, &ABSENT);
    alice.works(push, &own);
    alice.works(pull, &own);
    reader.works(pull, &own);
    let Some(delete) = delete else { return };
    reader.fails(delete, &own, &REFUSED);
    reader.works(pull, &own);
    alice.works(delete, &own);
    alice.fails(pull, &own, &ABSENT);
}

#[test]
fn every_client_logs_in_over_tls_and_does_what_the_policies_allow_and_nothing_else() {
    if !require(&["skopeo", "podman"]) {
        return;
    }
    let rig = Rig::start(Site::quickstart(), CONFIG);
    rig.alice().works(IMAGES, BASE);
    let mut checked = 0;
    for client in &CLIENTS {
        if require(client.programs) {
            check(&rig, client);
            checked += 1;
        } else {
            println!("skipped: {}", client.name);
        }
    }
    println!("{checked} of {} clients were checked", CLIENTS.len());
}
