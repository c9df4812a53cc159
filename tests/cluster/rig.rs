//! A real Kubernetes cluster for a test: etcd, API server, controller manager and scheduler with kwok nodes, or, in an
//! isolated network namespace, with a real node (containerd and kubelet). Everything is stopped on drop.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) use crate::programs::{program, require};

/// The address of the node in an isolated namespace; not a loopback address.
pub(crate) const NODE: &str = "10.99.0.1";
/// The programs that every cluster needs.
const CONTROL_PLANE: [&str; 6] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kwok"];
const REAL_NODE: [&str; 7] = ["containerd", "kubelet", "kube-proxy", "ptp", "runc", "ip", "nsenter"];
const ADMIN: &str = "admin-token";

/// Reports whether a cluster can be started; prints which programs are missing.
pub(crate) fn possible(with_node: bool) -> bool {
    require(&CONTROL_PLANE) && (!with_node || require(&REAL_NODE))
}

/// The network in which a cluster's programs run.
#[derive(Clone, Debug)]
enum Net {
    /// On loopback, together with other clusters.
    Host,
    /// In a separate network namespace.
    Own(String),
}

/// A child process that is killed on drop.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running cluster.
pub(crate) struct Cluster {
    // Stopped before the folder is removed.
    processes: Vec<(String, Running)>,
    folder: tempfile::TempDir,
    net: Net,
    port: u16,
    etcd: u16,
    /// The API server's `--request-timeout`, if it is not the default.
    pub(crate) request_timeout: Option<&'static str>,
}

impl Cluster {
    /// Starts a control plane on loopback with `nodes` kwok nodes, on which every pod is ready immediately.
    pub(crate) fn start(nodes: usize) -> Self {
        let mut cluster = Self::empty(Net::Host, free_port());
        cluster.control_plane();
        cluster.kwok(nodes);
        cluster
    }

    /// Starts a control plane in an isolated network namespace; [`Self::start_node`] adds a real node.
    pub(crate) fn isolated(nodes: usize) -> Self {
        Self::isolated_with(nodes, |_| ())
    }

    /// Like [`Self::isolated`]; `prepare` runs before any program starts.
    pub(crate) fn isolated_with(nodes: usize, prepare: impl FnOnce(&Self)) -> Self {
        let name = format!("airlock-{}-{}", std::process::id(), free_port());
        done(Command::new("ip").args(["netns", "add", &name]));
        let mut cluster = Self::empty(Net::Own(name), 6443);
        done(cluster.command("ip").args(["link", "set", "lo", "up"]));
        done(cluster.command("ip").args(["address", "add", &format!("{NODE}/32"), "dev", "lo"]));
        prepare(&cluster);
        cluster.control_plane();
        cluster.kwok(nodes);
        cluster
    }

    fn empty(net: Net, port: u16) -> Self {
        let etcd = match net {
            Net::Host => free_port(),
            Net::Own(_) => 2379,
        };
        let folder = tempfile::tempdir().unwrap();
        Self { processes: Vec::new(), folder, net, port, etcd, request_timeout: None }
    }

    /// A path in the cluster's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// The API server's URL.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// A command that runs in the cluster's network with its kubeconfig.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = match &self.net {
            Net::Host => Command::new(program(name)),
            Net::Own(namespace) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/run/netns/{namespace}")).arg("--").arg(program(name));
                command
            }
        };
        command.env("KUBECONFIG", self.kubeconfig()).env("HOME", self.folder.path());
        command.current_dir(self.folder.path());
        command
    }

    /// Runs kubectl; returns whether it succeeded, and its output.
    pub(crate) fn tries(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.command("kubectl").args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said.into_owned())
    }

    /// Runs kubectl and expects success; returns its output.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        let (good, said) = self.tries(arguments);
        assert!(good, "kubectl {}\n{said}", arguments.join(" "));
        said
    }

    /// Applies YAML by server-side apply; returns whether it succeeded, and the output.
    pub(crate) fn apply(&self, yaml: &str) -> (bool, String) {
        let file = self
            .path(&format!("apply-{}.yaml", std::thread::current().name().unwrap_or("x").replace("::", "-")));
        std::fs::write(&file, yaml).unwrap();
        self.tries(&["apply", "--server-side", "--force-conflicts", "-f", file.to_str().unwrap()])
    }

    /// An object as JSON, if it exists.
    pub(crate) fn get(&self, arguments: &[&str]) -> Option<serde_json::Value> {
        let (good, said) = self.tries(&[&["get", "-o", "json"], arguments].concat());
        good.then(|| serde_json::from_str(&said).unwrap())
    }

    /// The kubeconfig of the user `somebody`, who has no permissions until a test grants them.
    pub(crate) fn unprivileged(&self) -> PathBuf {
        let file = self.path("kubeconfig-somebody");
        std::fs::write(&file, self.config("somebody-token")).unwrap();
        file
    }

    /// Kills a program of the control plane, as a power failure would.
    pub(crate) fn kill(&mut self, name: &str) {
        self.processes.retain(|(other, _)| other != name);
    }

    /// The process ID of a running program.
    pub(crate) fn process(&self, name: &str) -> u32 {
        self.processes.iter().find(|(other, _)| other == name).unwrap().1.0.id()
    }

    /// Starts the API server, also after [`Self::kill`], and waits until it is ready.
    pub(crate) fn api_server(&mut self) {
        let address = match self.net {
            Net::Host => "127.0.0.1",
            Net::Own(_) => NODE,
        };
        let folder = self.folder.path().display().to_string();
        let (etcd, port) = (format!("http://127.0.0.1:{}", self.etcd), self.port.to_string());
        let certs = format!("{folder}/certs");
        let mut arguments = vec![
            ("etcd-servers", etcd.as_str()),
            ("cert-dir", &certs),
            ("secure-port", &port),
            ("advertise-address", address),
            ("service-cluster-ip-range", "10.96.0.0/16"),
            ("service-account-key-file", "sa.pub"),
            ("service-account-signing-key-file", "sa.key"),
            ("service-account-issuer", "https://kubernetes.default.svc"),
            ("token-auth-file", "tokens.csv"),
            ("authorization-mode", "RBAC"),
            ("allow-privileged", "true"),
            // Webhooks are called at the pods' addresses.
            ("enable-aggregator-routing", "true"),
        ];
        if matches!(self.net, Net::Host) {
            arguments.extend([("bind-address", "127.0.0.1"), ("endpoint-reconciler-type", "none")]);
        }
        arguments.extend(self.request_timeout.map(|timeout| ("request-timeout", timeout)));
        self.run("kube-apiserver", &arguments);
        wait("the API server", Duration::from_mins(1), || {
            self.tries(&["get", "--raw", "/readyz"]).0.then_some(())
        });
    }

    fn control_plane(&mut self) {
        let folder = self.folder.path().to_owned();
        let key = folder.join("sa.key").display().to_string();
        run("openssl", &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key]);
        run("openssl", &["ec", "-in", &key, "-pubout", "-out", &folder.join("sa.pub").display().to_string()]);
        let tokens = format!("{ADMIN},admin,1,\"system:masters\"\nsomebody-token,somebody,2,\n");
        std::fs::write(folder.join("tokens.csv"), tokens).unwrap();
        std::fs::write(self.kubeconfig(), self.config(ADMIN)).unwrap();
        let peer = match self.net {
            Net::Host => free_port(),
            Net::Own(_) => 2380,
        };
        let (client, peer) = (format!("http://127.0.0.1:{}", self.etcd), format!("http://127.0.0.1:{peer}"));
        let (data, members) = (folder.join("etcd").display().to_string(), format!("default={peer}"));
        self.run(
            "etcd",
            &[
                ("data-dir", data.as_str()),
                ("unsafe-no-fsync", "true"),
                ("listen-client-urls", &client),
                ("advertise-client-urls", &client),
                ("listen-peer-urls", &peer),
                ("initial-advertise-peer-urls", &peer),
                ("initial-cluster", &members),
            ],
        );
        self.api_server();
        let config = self.kubeconfig().display().to_string();
        let root = folder.join("certs/apiserver.crt").display().to_string();
        self.run(
            "kube-controller-manager",
            &[
                ("kubeconfig", config.as_str()),
                ("service-account-private-key-file", &key),
                ("root-ca-file", &root),
                ("use-service-account-credentials", "true"),
                ("leader-elect", "false"),
                ("controllers", "*,-nodeipam,-cloud-node-lifecycle,-service-lb-controller"),
                ("secure-port", "0"),
            ],
        );
        self.run(
            "kube-scheduler",
            &[("kubeconfig", config.as_str()), ("leader-elect", "false"), ("secure-port", "0")],
        );
        wait("the service account", Duration::from_mins(1), || {
            self.tries(&["get", "serviceaccount", "default"]).0.then_some(())
        });
    }

    /// Adds nodes on which every pod is ready immediately, whatever its image.
    fn kwok(&mut self, nodes: usize) {
        let stages = program("kwok").with_file_name("kwok.yaml").display().to_string();
        let config = self.kubeconfig().display().to_string();
        self.run(
            "kwok",
            &[
                ("kubeconfig", config.as_str()),
                ("config", &stages),
                ("manage-nodes-with-annotation-selector", "kwok.x-k8s.io/node=fake"),
                ("node-lease-duration-seconds", "200"),
                ("server-address", "127.0.0.1:0"),
            ],
        );
        let node = |number: usize| {
            format!(
                "apiVersion: v1\nkind: Node\nmetadata:\n  name: fake-{number}\n  annotations: {{kwok.x-k8s.io/node: fake, \
                 node.alpha.kubernetes.io/ttl: '0'}}\n  labels: {{kubernetes.io/hostname: fake-{number}, kubernetes.io/os: linux, \
                 kubernetes.io/arch: amd64}}\nstatus: {{allocatable: {{cpu: '64', memory: 256Gi, pods: '2000'}}, \
                 capacity: {{cpu: '64', memory: 256Gi, pods: '2000'}}}}\n"
            )
        };
        let all: Vec<_> = (0..nodes).map(node).collect();
        let (good, said) = self.apply(&all.join("---\n"));
        assert!(good, "{said}");
    }

    /// Serves a store with `airlock serve` in the cluster's network.
    pub(crate) fn serve(&mut self, store: &Path, address: &str, more: &[&str]) {
        let store = store.display().to_string();
        let arguments = ["serve", "--store", &store, "--create", "--listen", address];
        self.run_words("airlock", env!("CARGO_BIN_EXE_airlock"), &[&arguments, more].concat());
        wait("airlock serve", Duration::from_secs(30), || {
            let url = format!("http://{address}/v2/");
            self.command("curl")
                .args(["-sfk", "-o", "/dev/null", &url])
                .status()
                .ok()?
                .success()
                .then_some(())
        });
    }

    /// Pushes an OCI layout to a registry in the cluster's network, over plain HTTP.
    pub(crate) fn push(&self, layout: &Path, image: &str) {
        let source = format!("oci:{}", layout.display());
        let target = format!("docker://{image}");
        let arguments = ["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", &source, &target];
        done(self.command("skopeo").args(arguments));
    }

    /// Starts a real node `n1`: containerd, kubelet and kube-proxy. `certs` is containerd's folder of `hosts.toml` files;
    /// `sandbox` is an image whose process does not exit.
    pub(crate) fn start_node(&mut self, certs: &Path, sandbox: &str) {
        let folder = self.folder.path().to_owned();
        let at = folder.display();
        let programs = program("ptp").parent().unwrap().display().to_string();
        std::fs::create_dir_all(folder.join("cni")).unwrap();
        std::fs::write(folder.join("cni/10-ptp.conflist"), CNI).unwrap();
        let containerd = format!(
            "version = 4\nroot = '{at}/containerd'\nstate = '{at}/containerd-state'\n\
             [plugins.'io.containerd.server.v1.grpc']\naddress = '{at}/containerd.sock'\n\
             [plugins.'io.containerd.server.v1.ttrpc']\naddress = '{at}/containerd.ttrpc'\n\
             [plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '{}'\n\
             [plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = '{sandbox}'\n\
             [plugins.'io.containerd.cri.v1.runtime']\nrestrict_oom_score_adj = true\n\
             [plugins.'io.containerd.cri.v1.runtime'.cni]\nbin_dirs = ['{programs}']\nconf_dir = '{at}/cni'\n\
             [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]\nruntime_type = 'io.containerd.runc.v2'\n\
             runtime_path = '{programs}/containerd-shim-runc-v2'\n",
            certs.display()
        );
        std::fs::write(folder.join("containerd.toml"), containerd).unwrap();
        std::fs::write(
            folder.join("kubelet.yaml"),
            format!("{KUBELET}containerRuntimeEndpoint: unix://{at}/containerd.sock\n"),
        )
        .unwrap();
        self.run("containerd", &[("config", "containerd.toml")]);
        let socket = folder.join("containerd.sock");
        wait("containerd", Duration::from_secs(30), || socket.exists().then_some(()));
        let (config, root) = (self.kubeconfig().display().to_string(), format!("{at}/kubelet"));
        let kubelet = [
            ("kubeconfig", config.as_str()),
            ("config", "kubelet.yaml"),
            ("root-dir", &root),
            ("hostname-override", "n1"),
            ("node-ip", NODE),
        ];
        self.run("kubelet", &kubelet);
        let proxy = [
            ("kubeconfig", config.as_str()),
            ("hostname-override", "n1"),
            ("proxy-mode", "iptables"),
            ("conntrack-max-per-core", "0"),
            ("conntrack-tcp-timeout-established", "0"),
            ("conntrack-tcp-timeout-close-wait", "0"),
        ];
        self.run("kube-proxy", &proxy);
        wait("the node", Duration::from_mins(1), || {
            self.tries(&["get", "node", "n1"]).1.contains(" Ready").then_some(())
        });
    }

    fn config(&self, token: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: t, cluster: {{server: '{}', insecure-skip-tls-verify: true}}}}]\n\
             users: [{{name: a, user: {{token: {token}}}}}]\ncontexts: [{{name: t, context: {{cluster: t, user: a}}}}]\n\
             current-context: t\n",
            self.url()
        )
    }

    /// Starts a background program; its log is in the cluster's folder.
    fn run(&mut self, name: &str, arguments: &[(&str, &str)]) {
        let words: Vec<_> = arguments.iter().map(|(flag, value)| format!("--{flag}={value}")).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        self.run_words(name, name, &words);
    }

    /// Like [`Self::run`], with arguments as they are; `name` is the name of the log.
    pub(crate) fn run_words(&mut self, name: &str, binary: &str, words: &[&str]) {
        let log = std::fs::File::create(self.path(&format!("{name}.log"))).unwrap();
        let mut command = self.command(binary);
        // First, so that none of an installed Docker or containerd is used instead.
        let programs = program("kubectl").parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(programs).chain(std::env::split_paths(&path));
        let child = command
            .args(words)
            .env("PATH", std::env::join_paths(path).unwrap())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.processes.push((name.to_owned(), Running(child)));
    }

    /// The last lines of a program's log, for error messages.
    pub(crate) fn log(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        while self.processes.pop().is_some() {}
        if let Net::Own(name) = &self.net {
            let links = self.command("ip").arg("link").output().unwrap();
            end_containers(&self.folder.path().display().to_string());
            // The network namespaces of the pods hold the other ends of the links.
            let links = String::from_utf8_lossy(&links.stdout).into_owned();
            for line in links.lines() {
                if let Some(pod) = line.split("link-netns ").nth(1) {
                    let _ = Command::new("ip").args(["netns", "delete", pod.trim()]).status();
                }
            }
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
}

/// Kills the containers, which survive containerd; their shims name its socket.
fn end_containers(folder: &str) {
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        if line.contains("containerd-shim") && line.contains(folder) {
            let pid = process.file_name().to_string_lossy().into_owned();
            let tasks = std::fs::read_to_string(process.path().join(format!("task/{pid}/children")));
            for child in tasks.unwrap_or_default().split_whitespace().chain([pid.as_str()]) {
                let _ = Command::new("kill").args(["-9", child]).status();
            }
        }
    }
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mut below: Vec<_> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|at| at.starts_with(folder))
        .collect();
    below.sort_unstable();
    for mount in below.iter().rev() {
        let _ = Command::new("umount").args(["-l", mount]).status();
    }
}

/// Waits until `ready` returns a value. `what` is the only description in the error message.
pub(crate) fn wait<T>(what: &str, most: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(start.elapsed() < most, "waited {} s for {what}", most.as_secs());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Pauses or resumes a process.
pub(crate) fn pause(process: u32, paused: bool) {
    let signal = if paused { "-STOP" } else { "-CONT" };
    done(Command::new("kill").args([signal, &process.to_string()]));
}

/// A currently unused port.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) fn done(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

fn run(name: &str, arguments: &[&str]) {
    done(Command::new(program(name)).args(arguments));
}

const CNI: &str = r#"{"cniVersion":"1.0.0","name":"t","plugins":[{"type":"ptp","ipMasq":false,
"ipam":{"type":"host-local","ranges":[[{"subnet":"10.244.0.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}}]}"#;

// For machines with cgroup v1, which the kubelet rejects by default since 1.35.
const KUBELET: &str = "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failSwapOn: false
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
evictionHard: {nodefs.available: '1%', imagefs.available: '1%'}
clusterDomain: cluster.local
";
