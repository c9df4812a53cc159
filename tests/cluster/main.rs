//! A real Kubernetes: API server, controller manager, scheduler and etcd of the pinned release, with nodes of kwok
//! where pods need no real image, and a real node where they do.

#[cfg(test)]
mod commands;
#[cfg(test)]
#[expect(dead_code, reason = "other suites use the rest")]
#[path = "../peers/programs.rs"]
mod programs;
#[cfg(test)]
#[expect(dead_code, reason = "the suites that come use the rest")]
mod rig;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::rig::{Cluster, possible, wait};

    #[test]
    fn the_cluster_runs_pods() {
        if !possible(false) {
            return;
        }
        let cluster = Cluster::start(1);
        cluster.kubectl(&["create", "deployment", "web", "--image", "registry.example/web:1"]);
        wait("the pod", Duration::from_secs(60), || {
            let web = cluster.get(&["deployment", "web"])?;
            (web["status"]["readyReplicas"] == 1).then_some(())
        });
    }
}
