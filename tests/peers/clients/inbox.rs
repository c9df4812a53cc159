//! docker, podman and helm push by tag through a gate: what they push waits in the inbox until cosign has signed it.

use serde_json::Value;

use super::{ABSENT, CONFIG, PASSWORD, REFUSED, Rig};
use crate::programs::require;
use crate::rig::Site;

/// How a client pushes a new image, the cosign that signs it, and the name of the client in the table.
const PUSHES: [(&str, &str, &str); 4] = [
    ("podman", "podman import --quiet ../seed/layer.tar $IMAGE && podman push --quiet $IMAGE", "cosign2"),
    ("docker", "docker import ../seed/layer.tar $IMAGE && docker push --quiet $IMAGE", "cosign3"),
    (
        "buildah",
        "buildah push --quiet $(buildah commit --quiet $(buildah from scratch)) docker://$IMAGE",
        "cosign3",
    ),
    ("helm", "helm package ../helm && helm push helm-$TAG.tgz oci://$HOST/${REPOSITORY%/*}", "cosign2"),
];

/// Signs `$DIGEST`. The bundle of version 3 has no image name.
fn sign(cosign: &str, digest: &str) -> String {
    let flags = if cosign == "cosign2" { "--tlog-upload=false" } else { "--signing-config ../config.json" };
    format!(
        "export DOCKER_CONFIG=$HOME; {cosign} login --username $WHO --password \"$PASSWORD\" $HOST
         {cosign} sign --key ../cosign.key {flags} $HOST/$REPOSITORY@{digest}"
    )
}

/// The digest that waits for the tag of a repository.
fn waiting(site: &Site, repository: &str) -> Option<String> {
    let list = site.airlock(&["inbox", "list", repository, "--store", "site", "--output", "json"]);
    let list: Vec<Value> = serde_json::from_str(&list).unwrap();
    list.first().map(|entry| entry["digest"].as_str().unwrap().to_owned())
}

#[test]
fn clients_that_push_by_tag_push_through_a_gate_and_cosign_sets_the_tag() {
    if !require(&[
        "podman",
        "skopeo",
        "docker",
        "dockerd",
        "containerd",
        "buildah",
        "helm",
        "cosign2",
        "cosign3",
    ]) {
        return;
    }
    let site = Site::quickstart();
    for line in ["generate-key-pair", "signing-config create --out config.json"] {
        assert!(site.cosign("cosign3", line).0);
    }
    site.airlock(&["keys", "trust", "cosign.pub", "--sign", "signature", "--to", "gate.yaml"]);
    let rule = "{require: [{sign: signature, by: cosign}]}";
    let gates = format!("gates: {{push: {rule}, pull: {rule}}}\n");
    let text = std::fs::read_to_string(site.path("gate.yaml")).unwrap() + &gates;
    std::fs::write(site.path("gate.yaml"), text).unwrap();
    let rig =
        Rig::start(site, &format!("{CONFIG}trust: gate.yaml\ngates: {{allowUnnamed: true, inbox: {{}}}}\n"));
    for (name, push, cosign) in PUSHES {
        let client = super::CLIENTS.iter().find(|client| client.name == name).unwrap();
        let repository = format!("team/{name}");
        let alice = rig.session(client, "alice", PASSWORD);
        let reader = rig.session(client, "robot$reader", &rig.secret);
        alice.works(push, &repository);
        let digest = waiting(&rig.site, &repository).unwrap();
        let by_digest =
            format!("skopeo inspect --raw --creds \"$WHO:$PASSWORD\" docker://$HOST/$REPOSITORY@{digest}");
        alice.works(&by_digest, &repository);
        // helm pushes the manifest by its digest first, so it is not hidden, but the gate `pull` refuses it.
        reader.fails(&by_digest, &repository, if name == "helm" { &REFUSED } else { &ABSENT });
        for session in [&alice, &reader] {
            session.fails(client.pull, &repository, &ABSENT);
        }
        alice.works(&sign(cosign, &digest), &repository);
        reader.works(client.pull, &repository);
        assert_eq!(waiting(&rig.site, &repository), None);
        let by_tag = by_digest.replace(&format!("@{digest}"), ":$TAG");
        let check = format!("{by_tag} | sha256sum | grep {}", &digest[7..]);
        reader.works(&check, &repository);
    }
}
