//! A fence around a network namespace: whoever sends a packet to an address that is not of the site is counted.
//!
//! Without any route the kernel refuses such a packet before anyone can count it. So there is a default route, to a
//! link whose other end nobody listens at: it leads nowhere, and what is sent to it is seen.

use std::process::Stdio;

use serde_json::Value;

use crate::rig::{Cluster, NODE, done};

/// Loopback, the node, its pods and services are the site. Between neighbours the kernel of itself sends what no router
/// passes on: that is no way out.
fn rules() -> String {
    let count = "ip daddr != @site add @strangers { ip daddr } counter name out\n\
                 ip6 daddr != { ::1, fe80::/10, ff02::/16 } counter name out\n";
    format!(
        "table inet fence {{\n counter out {{}}\n set strangers {{ type ipv4_addr; flags dynamic; size 1024; }}\n\
         set site {{ type ipv4_addr; flags interval; elements = {{ 127.0.0.0/8, {NODE}, 10.244.0.0/16, 10.96.0.0/16 }} }}\n\
         chain sent {{ type filter hook output priority -200; {count} }}\n\
         chain passing {{ type filter hook prerouting priority -310; {count} }}\n}}\n"
    )
}

/// Puts it up.
pub(crate) fn put_up(cluster: &Cluster) {
    let file = cluster.path("fence.nft");
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

/// How many packets went to strangers, and who they are.
pub(crate) fn strangers(cluster: &Cluster) -> (u64, Vec<String>) {
    let list = |words: &[&str]| -> Value {
        let output = cluster.command("nft").arg("-j").arg("list").args(words).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let counted = list(&["counter", "inet", "fence", "out"]);
    let named = list(&["set", "inet", "fence", "strangers"]);
    let elements = named["nftables"][1]["set"]["elem"].as_array().cloned().unwrap_or_default();
    let packets = counted["nftables"][1]["counter"]["packets"].as_u64().unwrap();
    (packets, elements.iter().map(Value::to_string).collect())
}

/// Sends one packet to somebody else.
pub(crate) fn trespass(cluster: &Cluster) {
    let words = ["-s", "--max-time", "1", "http://192.0.2.1/"];
    let _ = cluster.command("curl").args(words).stdout(Stdio::null()).status().unwrap();
}
