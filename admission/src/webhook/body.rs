//! Reads request bodies with limits on their size, their duration and the memory of their values, all within one budget,
//! so that no client can fill the memory.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::extract;
use axum::http::StatusCode;
use registry::server::{BodyError, Client, Memory, MemoryLease, Network};

use super::review::{MAX_BYTES, Request};
use super::server::SOCKETS;

/// The timeout of reading a body. The API server sends it in one go.
const TIMEOUT: Duration = Duration::from_secs(4);
/// The largest memory for the values of one request, in addition to its bytes.
const MAX_VALUES: usize = 8 << 20;

type Rejection = (StatusCode, String);

/// Reads a request, and reserves the memory that it takes.
pub(super) async fn read(http: extract::Request) -> Result<(Request, MemoryLease), Rejection> {
    let memory = http.extensions().get::<Memory>().cloned().unwrap_or_else(|| Memory::new(SOCKETS.memory));
    let client = http.extensions().get::<Client>().copied();
    let unknown = Network::of(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let mut lease = memory.lease(client.map_or(unknown, |client| client.network()));
    let body = lease.collect(http.into_body(), MAX_BYTES, SOCKETS.pace, TIMEOUT).await;
    let body = body.map_err(rejection)?;
    let values = values(&body);
    if values > MAX_VALUES {
        return Err(rejection(BodyError::TooLong));
    }
    lease.grow(values).await.map_err(rejection)?;
    let request = Request::read(&body).map_err(|message| (StatusCode::BAD_REQUEST, message))?;
    Ok((request, lease))
}

fn rejection(error: BodyError) -> Rejection {
    match error {
        BodyError::TooLong => {
            let limit = MAX_BYTES >> 20;
            let message = format!("the request is larger than {limit} MiB or has too many values");
            (StatusCode::PAYLOAD_TOO_LARGE, message)
        }
        BodyError::Lost { received } => {
            let message = format!("the request body was incomplete or too slow after {received} bytes");
            (StatusCode::REQUEST_TIMEOUT, message)
        }
        BodyError::NoMemory => {
            let message = "too many requests are in memory; try again".to_owned();
            (StatusCode::TOO_MANY_REQUESTS, message)
        }
    }
}

/// An upper bound for the memory of the values of a JSON text. An object with one member takes a whole node of a tree.
fn values(text: &[u8]) -> usize {
    const OBJECT: usize = 700;
    const LIST: usize = 160;
    const VALUE: usize = 96;
    let (mut in_string, mut escaped, mut opened, mut bytes) = (false, false, None, 0);
    for byte in text {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b'"' => in_string = true,
            b',' | b':' => bytes += VALUE,
            // Empty lists and objects take no memory.
            b'}' | b']' => bytes -= opened.take().unwrap_or(0),
            _ => {}
        }
        opened = match byte {
            b'{' => Some(OBJECT),
            b'[' => Some(LIST),
            _ => None,
        };
        bytes += opened.unwrap_or(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a7_a_small_body_that_becomes_a_large_value_counts_as_large() {
        let lists = format!("[{}]", vec!["[0]"; 1_000_000].join(","));
        assert!(values(lists.as_bytes()) > 200 << 20, "{}", values(lists.as_bytes()));
        let objects = format!("[{}]", vec![r#"{"a":1}"#; 100_000].join(","));
        assert!(values(objects.as_bytes()) > 64 << 20);
        let text = serde_json::json!({"data": "{[,:".repeat(1_000_000), "x": "\\\"{{{{"}).to_string();
        assert!(values(text.as_bytes()) < 2000);
        assert_eq!(values(b"{} [ ] {}"), 0);
    }

    #[test]
    fn a_large_honest_object_is_read() {
        let container = serde_json::json!({"name": "c", "image": "r.example/a:b", "env": [{"name": "A", "value": "b"}],
            "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}, "ports": [{"containerPort": 80}]});
        let pod = serde_json::json!({"spec": {"containers": vec![container; 500]}}).to_string();
        assert!(values(pod.as_bytes()) < MAX_VALUES, "{}", values(pod.as_bytes()));
    }

    #[tokio::test]
    async fn a7_a_request_that_would_fill_the_memory_is_rejected() {
        let lists = format!(r#"{{"request": [{}]}}"#, vec!["[0]"; 500_000].join(","));
        let http = extract::Request::new(axum::body::Body::from(lists));
        assert_eq!(read(http).await.err().map(|(status, _)| status), Some(StatusCode::PAYLOAD_TOO_LARGE));
    }
}
