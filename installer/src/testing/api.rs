//! The HTTP API of the in-memory cluster.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::{Store, TestRequest};

/// Version, kind, plural, and whether the kind is namespaced.
const KINDS: [(&str, &str, &str, bool); 8] = [
    ("v1", "ConfigMap", "configmaps", true),
    ("v1", "Namespace", "namespaces", false),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("v1", "Secret", "secrets", true),
    ("apps/v1", "Deployment", "deployments", true),
    ("batch/v1", "Job", "jobs", true),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", false),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", false),
];

type Shared = Arc<Mutex<Store>>;

/// Serves on a free port, and returns the URL.
pub(super) async fn serve(store: Shared) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(handle).with_state(store);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

async fn handle(State(store): State<Shared>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 16 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default().to_owned());
    let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
    let live = store.objects.get(&path).cloned();
    let method = parts.method.as_str();
    let request = TestRequest { method, path: &path, query: &query, body: &body, live: live.as_ref() };
    if let Some((code, message)) = store.refuse.iter().find_map(|refuse| refuse(&request)) {
        return status(code, &message);
    }
    if method != "GET" && !query.contains("dryRun") {
        store.writes.push(format!("{method} {path}"));
    }
    match method {
        "GET" if query.contains("watch=true") => watch(&store, &path, &query),
        "GET" => get(&store, &path, &query, live),
        "PATCH" => apply(&mut store, &path, &query, &body, live.as_ref()),
        "POST" => {
            let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
            if store.objects.contains_key(&path) {
                return status(409, "already exists");
            }
            store.put(&path, body);
            respond(&store.objects[&path])
        }
        "PUT" => match live {
            Some(live) if live["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"] => {
                store.put(&path, body);
                respond(&store.objects[&path])
            }
            Some(_) => status(409, "the object has been modified"),
            None => status(404, "not found"),
        },
        "DELETE" => match live {
            Some(live)
                if body.pointer("/preconditions/uid").is_none_or(|uid| *uid == live["metadata"]["uid"]) =>
            {
                store.objects.remove(&path);
                respond(&live)
            }
            Some(_) => status(409, "the UID does not match"),
            None => status(404, "not found"),
        },
        _ => status(405, "method not allowed"),
    }
}

fn get(store: &Store, path: &str, query: &str, live: Option<Value>) -> Response {
    if let Some(live) = live {
        return respond(&live);
    }
    match path {
        "/version" => return respond(&json!({"gitVersion": "v1.36.3", "major": "1", "minor": "36"})),
        "/api" | "/apis" => return respond(&discovery(store, path == "/api")),
        _ => {}
    }
    let known = kinds(store).into_iter().any(|(version, _, plural, namespaced)| {
        let root = if version.contains('/') { "/apis" } else { "/api" };
        path == format!("{root}/{version}/{plural}")
            || namespaced
                && path.starts_with(&format!("{root}/{version}/namespaces/"))
                && path.ends_with(&format!("/{plural}"))
    });
    if !known && !path.ends_with("/events") {
        return status(404, "not found");
    }
    let wanted = query.split('&').find_map(|part| part.strip_prefix("labelSelector=owner%3Dhelm%2Cname%3D"));
    let (prefix, plural) = path.rsplit_once('/').unwrap();
    let inside = |at: &str| {
        let direct = at.strip_prefix(path).and_then(|rest| rest.strip_prefix('/'));
        let all = at.starts_with(&format!("{prefix}/namespaces/")) && at.contains(&format!("/{plural}/"));
        direct.is_some_and(|rest| !rest.contains('/')) || all
    };
    let items = store.objects.iter().filter(|(at, _)| inside(at)).map(|(_, object)| object);
    let items = items.filter(|object| {
        wanted.is_none_or(|name| {
            object["metadata"]["labels"]["name"] == name && object["metadata"]["labels"]["owner"] == "helm"
        })
    });
    respond(&json!({"kind": "List", "metadata": {}, "items": items.collect::<Vec<_>>()}))
}

/// Sends the event of a deletion that has already happened, and no other events.
fn watch(store: &Store, path: &str, query: &str) -> Response {
    let name = query.split('&').find_map(|part| part.strip_prefix("fieldSelector=metadata.name%3D"));
    let end = name.and_then(|name| store.ends.get(&format!("{path}/{name}")));
    let line = end.map(|end| json!({"type": "DELETED", "object": end}).to_string() + "\n");
    line.unwrap_or_default().into_response()
}

/// Merges objects, and replaces lists.
fn apply(store: &mut Store, path: &str, query: &str, body: &Value, live: Option<&Value>) -> Response {
    let mut after = live.cloned().unwrap_or_else(|| json!({}));
    merge(&mut after, body);
    let manager = query.split('&').find_map(|part| part.strip_prefix("fieldManager=")).unwrap();
    after["metadata"]["managedFields"] = json!([{"manager": manager, "operation": "Apply"}]);
    if after["kind"] == "CustomResourceDefinition" {
        after["status"] = json!({"conditions": [{"type": "Established", "status": "True", "reason": "x"}]});
    }
    if query.contains("dryRun=All") {
        return respond(&after);
    }
    store.put(path, after.clone());
    let written = store.objects[path].clone();
    let react = std::mem::take(&mut store.react);
    for react in &react {
        react(&written, store);
    }
    store.react.extend(react);
    respond(&written)
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// The built-in kinds, and those of CRDs.
fn kinds(store: &Store) -> Vec<(String, String, String, bool)> {
    let built_in = KINDS.map(|(version, kind, plural, namespaced)| {
        (version.to_owned(), kind.to_owned(), plural.to_owned(), namespaced)
    });
    let defined = store.objects.values().filter(|object| object["kind"] == "CustomResourceDefinition");
    let defined = defined.map(|definition| {
        let spec = &definition["spec"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let version = format!("{}/{}", text(&spec["group"]), text(&spec["versions"][0]["name"]));
        let names = &spec["names"];
        (version, text(&names["kind"]), text(&names["plural"]), spec["scope"] == "Namespaced")
    });
    built_in.into_iter().chain(defined).collect()
}

fn discovery(store: &Store, is_core: bool) -> Value {
    let groups = kinds(store).into_iter().filter(|(version, ..)| version.contains('/') != is_core);
    let items = groups.map(|(version, kind, plural, namespaced)| {
        let (group, version) = version.split_once('/').unwrap_or(("", &version));
        let scope = if namespaced { "Namespaced" } else { "Cluster" };
        json!({"metadata": {"name": group}, "versions": [{"version": version, "resources": [
            {"resource": plural, "responseKind": {"kind": kind}, "scope": scope}]}]})
    });
    json!({"items": items.collect::<Vec<_>>()})
}

fn respond(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

fn status(code: u16, message: &str) -> Response {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        422 => "Invalid",
        _ => "Other",
    };
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code});
    (StatusCode::from_u16(code).unwrap(), [("content-type", "application/json")], body.to_string())
        .into_response()
}
