//! Tests of each rule, on charts made for it.

use std::time::Duration;

use helm::Options;

use super::*;

const CHART: &str = "apiVersion: v2\nname: c\nversion: 1.0.0\n";

fn found(about: &str, template: &str, patterns: &[Regex]) -> Discovery {
    let files = [
        ("Chart.yaml".to_owned(), about.as_bytes().to_vec()),
        ("templates/x.yaml".to_owned(), template.as_bytes().to_vec()),
    ];
    let chart = Chart::from_files(files, &Limits::default()).unwrap();
    let rendered = helm::render(&chart, &Options::new("r", "default", [0; 32], Duration::ZERO)).unwrap();
    discover(&chart, &rendered, patterns).unwrap()
}

const POD: &str = "apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  initContainers:
  - {name: a, image: busybox}
  containers:
  - name: b
    image: r.io/b:1
    args: ['--sidecar-image=r.io/side:2', '--image=no', '--config-reloader=r.io/reloader:3']
    env:
    - {name: WORKER_IMAGE, value: 'r.io/worker:4'}
    - {name: IMAGE_POLICY, value: Always}
  volumes:
  - {name: v, image: {reference: 'r.io/volume:5', pullPolicy: Always}}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: t}
spec:
  image: {registry: r.io, repository: thing, tag: '6', pullPolicy: Always}
  agentImage: r.io/agent:7
  osImage: ubuntu
---
apiVersion: batch/v1
kind: Job
metadata: {name: j, annotations: {helm.sh/hook: pre-install}}
spec: {template: {spec: {containers: [{name: c, image: 'r.io/hook:8'}, {name: d, image: 'not a reference'}]}}}
";

#[test]
fn every_rule_finds_its_images() {
    let patterns = [Regex::new("--config-reloader=(\\S+)").unwrap()];
    let found = found(CHART, POD, &patterns);
    let references: Vec<&str> = found.images.iter().map(|image| image.reference.as_str()).collect();
    assert_eq!(
        references,
        [
            "docker.io/library/busybox:latest",
            "r.io/agent:7",
            "r.io/b:1",
            "r.io/hook:8",
            "r.io/reloader:3",
            "r.io/side:2",
            "r.io/thing:6",
            "r.io/volume:5",
            "r.io/worker:4",
        ]
    );
    let own = &found.images[2].places;
    assert_eq!(own[0].field, "spec.containers[0].image");
    assert_eq!((own[0].template.as_str(), own[0].object.as_str()), ("c/templates/x.yaml", "Pod/p"));
    assert_eq!(found.unusable.len(), 1);
    assert_eq!(found.unusable[0].1, "not a reference");
}

const OPERATORS: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: operator}
spec:
  template:
    spec:
      containers:
      - name: o
        image: r.io/operator:1
        args: [--engine-image, 'longhornio/engine:v1', -reloader-image, r.io/reloader:2, --image-pull-policy, Always, --name, r.io/unrelated:3]
        env:
        - {name: DEFAULT_SIDECAR, value: 'r.io/side/car:4'}
        - {name: ENDPOINT, value: 'r.io:443/path'}
        - name: STRIMZI_KAFKA_IMAGES
          value: |
            3.8.0=r.io/kafka:3.8.0
            3.9.0=r.io/kafka:3.9.0
---
apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {name: pg}
spec: {imageName: 'ghcr.io/cloudnative-pg/postgresql:16'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  executor: |
    imagePullPolicy: IfNotPresent
    image: quay.io/argoproj/argoexec:v3
  docker_image: ghcr.io/zalando/spilo:3
  notes: run quay.io/tools/debug:5 by hand
";

#[test]
fn h8_images_of_known_operators_are_found_and_other_references_are_listed() {
    let found = found(CHART, OPERATORS, &[]);
    let references: Vec<&str> = found.images.iter().map(|image| image.reference.as_str()).collect();
    assert_eq!(
        references,
        [
            "docker.io/longhornio/engine:v1",
            "ghcr.io/cloudnative-pg/postgresql:16",
            "ghcr.io/zalando/spilo:3",
            "quay.io/argoproj/argoexec:v3",
            "r.io/kafka:3.8.0",
            "r.io/kafka:3.9.0",
            "r.io/operator:1",
            "r.io/reloader:2",
            "r.io/side/car:4",
        ]
    );
    let untaken: Vec<&str> = found.untaken.iter().map(|(_, reference)| reference.as_str()).collect();
    assert_eq!(untaken, ["quay.io/tools/debug:5", "r.io/unrelated:3"]);
    assert_eq!(found.untaken[0].0.field, "data.notes");
    assert!(found.unusable.is_empty(), "{:?}", found.unusable);
}

#[test]
fn h8_images_that_the_chart_declares_for_artifact_hub_are_found() {
    let about = "apiVersion: v2
name: c
version: 1.0.0
annotations:
  artifacthub.io/images: |
    - name: one
      image: ghcr.io/acme/one:1
    - {name: two, image: acme/two, whitelisted: true}
    - {name: three, image: 'not a reference'}
";
    let found = found(about, "", &[]);
    let references: Vec<&str> = found.images.iter().map(|image| image.reference.as_str()).collect();
    assert_eq!(references, ["docker.io/acme/two:latest", "ghcr.io/acme/one:1"]);
    let place = &found.images[1].places[0];
    assert_eq!((place.template.as_str(), place.object.as_str()), ("Chart.yaml", "Chart/c"));
    assert_eq!(place.field, "annotations.artifacthub.io/images[0].image");
    assert_eq!(found.unusable[0].1, "not a reference");
}

#[test]
fn h8_images_in_the_configuration_of_known_operators_are_found() {
    let settings = "apiVersion: v1
kind: ConfigMap
metadata: {name: longhorn-default-setting}
data:
  default-setting.yaml: |-
    default-instance-manager-image: longhornio/longhorn-instance-manager:v1.7
    priority-class: longhorn-critical
---
apiVersion: acid.zalan.do/v1
kind: OperatorConfiguration
metadata: {name: pg}
configuration:
  docker_image: ghcr.io/zalando/spilo-16:3
  connection_pooler: {connection_pooler_image: 'acme/pgbouncer:master'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: cnpg}
data: {POSTGRES_IMAGE_NAME: 'ghcr.io/cloudnative-pg/postgresql:17'}
";
    let found = found(CHART, settings, &[]);
    let references: Vec<&str> = found.images.iter().map(|image| image.reference.as_str()).collect();
    assert_eq!(
        references,
        [
            "docker.io/acme/pgbouncer:master",
            "docker.io/longhornio/longhorn-instance-manager:v1.7",
            "ghcr.io/cloudnative-pg/postgresql:17",
            "ghcr.io/zalando/spilo-16:3",
        ]
    );
}
