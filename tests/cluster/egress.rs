//! Counts packets that a network namespace sends to addresses outside of the site.
//!
//! Without any route, the kernel would reject such packets before they are counted. Therefore there is a default route to a
//! link whose other end has no listener.

use std::process::Stdio;

use serde_json::Value;

use crate::rig::{Cluster, NODE, done};

/// The site consists of loopback, the node, its pods and its services. Link-local and multicast packets, which the kernel
/// sends by itself, are not routed and not counted.
fn rules() -> String {
    let count = "ip daddr != @site add @outside { ip daddr } counter name out\n\
                 ip6 daddr != { ::1, fe80::/10, ff02::/16 } counter name out\n";
    format!(
        "table inet egress {{\n counter out {{}}\n set outside {{ type ipv4_addr; flags dynamic; size 1024; }}\n\
         set site {{ type ipv4_addr; flags interval; elements = {{ 127.0.0.0/8, {NODE}, 10.244.0.0/16, 10.96.0.0/16 }} }}\n\
         chain sent {{ type filter hook output priority -200; {count} }}\n\
         chain passing {{ type filter hook prerouting priority -310; {count} }}\n}}\n"
    )
}

/// Installs the rules and the default route.
pub(crate) fn count(cluster: &Cluster) {
    let file = cluster.path("egress.nft");
    std::fs::write(&file, rules()).unwrap();
    for words in [
        &["link", "add", "nowhere", "type", "veth", "peer", "name", "nobody"][..],
        &["link", "set", "nobody", "up"],
        &["link", "set", "nowhere", "up"],
        &["route", "add", "default", "dev", "nowhere", "src", NODE],
    ] {
        done(cluster.command("ip").args(words));
    }
    done(cluster.command("nft").arg("-f").arg(file));
}

/// The number of packets that were sent outside, and their destinations.
pub(crate) fn counted(cluster: &Cluster) -> (u64, Vec<String>) {
    let list = |words: &[&str]| -> Value {
        let output = cluster.command("nft").arg("-j").arg("list").args(words).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let counter = list(&["counter", "inet", "egress", "out"]);
    let named = list(&["set", "inet", "egress", "outside"]);
    let elements = named["nftables"][1]["set"]["elem"].as_array().cloned().unwrap_or_default();
    let packets = counter["nftables"][1]["counter"]["packets"].as_u64().unwrap();
    (packets, elements.iter().map(Value::to_string).collect())
}

/// Sends a packet outside, to check that it is counted.
pub(crate) fn send_outside(cluster: &Cluster) {
    let words = ["-s", "--max-time", "1", "http://192.0.2.1/"];
    let _ = cluster.command("curl").args(words).stdout(Stdio::null()).status().unwrap();
}
