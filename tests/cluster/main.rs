//! Tests against real Kubernetes: API server, controller manager, scheduler and etcd of the pinned release, with kwok nodes
//! for pods that need no real image, and a real node for those that do.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod api_proxy;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod compare;
#[cfg(test)]
mod controller;
#[cfg(test)]
mod curated;
#[cfg(test)]
mod egress;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod images;
#[cfg(test)]
mod install;
#[cfg(test)]
mod journey;
#[cfg(test)]
#[expect(dead_code, reason = "other suites use the rest")]
#[path = "../peers/programs.rs"]
mod programs;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod rig;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::images;
    use crate::rig::{Cluster, possible, wait};

    #[test]
    fn the_cluster_runs_pods() {
        if !possible(false) {
            return;
        }
        let cluster = Cluster::start(1);
        cluster.kubectl(&["create", "deployment", "web", "--image", "registry.example/web:1"]);
        wait("the pod", Duration::from_mins(1), || {
            let web = cluster.get(&["deployment", "web"])?;
            (web["status"]["readyReplicas"] == 1).then_some(())
        });
    }

    #[test]
    fn a_real_node_pulls_from_airlock_under_the_images_own_name() {
        if !possible(true) || !images::possible() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let certs = folder.path().join("certs.d");
        std::fs::create_dir_all(certs.join("registry.example")).unwrap();
        let hosts = "server = 'http://127.0.0.1:5000'\n[host.'http://127.0.0.1:5000']\ncapabilities = ['pull', 'resolve']\n";
        std::fs::write(certs.join("registry.example/hosts.toml"), hosts).unwrap();
        let mut cluster = Cluster::isolated(1);
        cluster.serve(&folder.path().join("store"), "127.0.0.1:5000", &[]);
        let dial = ["nc", "-w", "5", "10.96.0.1", "443", "-e", "/busybox", "true"];
        for (name, words) in [
            ("pause", &["sleep", "100000"][..]),
            ("web", &["httpd", "-f", "-p", "8080", "-h", "/"]),
            ("dial", &dial),
        ] {
            let layout = folder.path().join(name);
            images::busybox(&layout, words);
            cluster.push(&layout, &format!("127.0.0.1:5000/registry.example/{name}:1"));
        }
        cluster.start_node(&certs, "registry.example/pause:1");
        for name in ["web", "dial"] {
            let (good, said) = cluster.apply(&format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{nodeName: n1, restartPolicy: OnFailure, \
                 containers: [{{name: {name}, image: 'registry.example/{name}:1', securityContext: {{runAsNonRoot: true}}}}]}}\n"
            ));
            assert!(good, "{said}");
        }
        let address = wait("the pod", Duration::from_mins(2), || {
            let pod = cluster.get(&["pod", "web"])?;
            (pod["status"]["phase"] == "Running").then(|| pod["status"]["podIP"].as_str().unwrap().to_owned())
        });
        let url = format!("http://{address}:8080/busybox");
        let got = wait("a response", Duration::from_secs(20), || {
            let got = cluster.command("curl").args(["-sf", &url]).output().unwrap();
            got.status.success().then_some(got.stdout)
        });
        assert!(got == std::fs::read("/bin/busybox").unwrap());
        wait("a pod that reaches the API server by its service", Duration::from_mins(1), || {
            (cluster.get(&["pod", "dial"])?["status"]["phase"] == "Succeeded").then_some(())
        });
    }
}
