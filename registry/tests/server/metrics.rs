//! What the metrics and the access log record of requests through the network.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;
use registry::server::{Access, AccessLog, Changed, Gate, GateError, Metrics, Observer, Pull, Push, Refused};
use tokio::io::AsyncWriteExt as _;

use crate::{Server, client};

/// The metrics as text.
fn text(metrics: &Metrics) -> String {
    let (mut registry, mut text) = (Registry::default(), String::new());
    metrics.register(&mut registry, None);
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("not encoded");
    text
}

/// Denies the repository `denied`, and fails for `broken`.
struct Rules;

impl Gate for Rules {
    fn pull(&self, pull: &Pull<'_>) -> Result<(), GateError> {
        match pull.repository.as_str() {
            "denied" => Err(GateError::Denied { message: "no".to_owned(), hint: "none".to_owned() }),
            "broken" => Err(GateError::Failed("broken".into())),
            _ => Ok(()),
        }
    }

    fn push(&self, _: &Push<'_>) -> Result<(), GateError> {
        Ok(())
    }
}

/// An audit log that is full.
struct Full;

impl Observer for Full {
    fn changed(&self, _: &Changed) -> Result<(), Box<dyn Error + Send + Sync>> {
        Err("no room".into())
    }

    fn refused(&self, _: &Refused) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }
}

#[tokio::test]
async fn decisions_of_gates_and_records_of_the_audit_log_are_counted() {
    let metrics = Metrics::default();
    let counted = metrics.clone();
    let server = Server::start(|config| {
        config.metrics = Some(counted);
        config.gate = Some(Arc::new(Rules));
        config.observer = Some(Arc::new(Full));
    })
    .await;
    for (repository, expected) in [("allowed", 200), ("denied", 403), ("broken", 500)] {
        server.add_image(repository, "v1", b"config");
        let url = server.url(&format!("/v2/{repository}/manifests/v1"));
        assert_eq!(client().get(url).send().await.expect("no answer").status(), expected, "{repository}");
    }
    let url = server.url("/v2/allowed/manifests/v1");
    assert_eq!(client().delete(url).send().await.expect("no answer").status(), 500);
    let found = text(&metrics);
    for line in [
        r#"gate_decisions_total{gate="pull",decision="allowed"} 1"#,
        r#"gate_decisions_total{gate="pull",decision="denied"} 1"#,
        r#"gate_decisions_total{gate="pull",decision="failed"} 1"#,
        r#"audit_records_total{outcome="failed"} 1"#,
        r#"requests_total{route="manifest",method="DELETE",status="5xx"} 1"#,
    ] {
        assert!(found.contains(&format!("airlock_registry_{line}\n")), "{line}\n{found}");
    }
}

/// Keeps the requests.
#[derive(Default)]
struct Lines(Mutex<Vec<Access>>);

impl AccessLog for Lines {
    fn ended(&self, access: Access) {
        self.0.lock().expect("no lines").push(access);
    }
}

impl Lines {
    async fn wait_for(&self, count: usize) -> Vec<Access> {
        let begun = Instant::now();
        loop {
            let lines = self.0.lock().expect("no lines").clone();
            if lines.len() >= count {
                return lines;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{lines:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn the_access_log_has_the_bytes_of_each_request_and_what_was_aborted() {
    let (lines, metrics) = (Arc::new(Lines::default()), Metrics::default());
    let (log, counted) = (Arc::clone(&lines), metrics.clone());
    let server = Server::start(|config| {
        config.access_log = Some(log);
        config.metrics = Some(counted);
    })
    .await;
    let content = vec![7; 5_000_000];
    let digest = oci::Digest::sha256(&content);
    let upload = server.url(&format!("/v2/a/blobs/uploads/?digest={digest}"));
    assert_eq!(client().post(upload).body(content).send().await.expect("no answer").status(), 201);
    let pushed = &lines.wait_for(1).await[0];
    assert_eq!((pushed.method.as_str(), pushed.status, pushed.received), ("POST", 201, 5_000_000));
    assert!(pushed.complete && pushed.visitor.address.is_some());

    let url = server.url(&format!("/v2/a/blobs/{digest}"));
    let whole = client().get(&url).send().await.expect("no answer");
    let id = whole.headers()["x-request-id"].to_str().expect("no text").to_owned();
    assert_eq!(whole.bytes().await.expect("no body").len(), 5_000_000);
    let pulled = &lines.wait_for(2).await[1];
    assert_eq!((pulled.sent, pulled.complete, &pulled.request_id), (5_000_000, true, &id));

    // The client reads the head of a response that no socket buffer holds, and goes.
    let large = server.add("a", &vec![1; 40_000_000]);
    let url = server.url(&format!("/v2/a/blobs/{large}"));
    drop(client().get(&url).send().await.expect("no answer"));
    let aborted = &lines.wait_for(3).await[2];
    assert!(aborted.status == 200 && !aborted.complete && aborted.sent < 40_000_000, "{aborted:?}");
    let found = text(&metrics);
    assert!(found.contains(r#"received_bytes_total{route="upload"} 5000000"#), "{found}");
    let sent = 5_000_000 + aborted.sent;
    assert!(found.contains(&format!("sent_bytes_total{{route=\"blob\"}} {sent}\n")), "{sent}\n{found}");
}

#[tokio::test]
async fn refusals_before_any_work_are_in_the_metrics_and_in_the_access_log() {
    let (lines, metrics) = (Arc::new(Lines::default()), Metrics::default());
    let (log, counted) = (Arc::clone(&lines), metrics.clone());
    let server = Server::start(|config| {
        config.access_log = Some(log);
        config.metrics = Some(counted);
        config.limits.per_client = 1;
    })
    .await;
    // This connection is busy, so the next one of the same client is only for refusals and health checks.
    let mut busy = server.connect().await;
    let head = "PUT /v2/a/manifests/v1 HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{";
    busy.write_all(head.as_bytes()).await.expect("not written");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let answer = client().get(server.url("/v2/a/tags/list")).send().await.expect("no answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (429, &"5".parse().expect("no value"))
    );
    let id = answer.headers()["x-request-id"].to_str().expect("no text").to_owned();
    answer.bytes().await.expect("no body");
    let refused = &lines.wait_for(1).await[0];
    assert_eq!((refused.status, refused.target.as_str(), &refused.request_id), (429, "/v2/a/tags/list", &id));
    assert!(refused.complete && refused.sent > 0 && refused.visitor.address.is_some(), "{refused:?}");
    let found = text(&metrics);
    let line = r#"requests_total{route="other",method="GET",status="4xx"} 1"#;
    assert!(found.contains(&format!("airlock_registry_{line}\n")), "{found}");
}
