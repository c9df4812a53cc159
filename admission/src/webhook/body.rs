//! The bytes of a question: how many there may be, how long they may take, and what they may come to as values, all
//! within one budget, so that nobody who reaches the socket can fill the memory.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::extract;
use axum::http::StatusCode;
use registry::server::{Client, Held, Memory, Network, Unread};

use super::review::{MOST_BYTES, Request};
use super::server::SOCKETS;

/// A question comes from the API server in one go.
const WITHIN: Duration = Duration::from_secs(4);
/// What the values of one question may come to in memory, beside its bytes.
const MOST_VALUES: usize = 8 << 20;

type Refused = (StatusCode, String);

/// Reads a question, with the memory that it takes.
pub(super) async fn read(asked: extract::Request) -> Result<(Request, Held), Refused> {
    let memory = asked.extensions().get::<Memory>().cloned().unwrap_or_else(|| Memory::new(SOCKETS.memory));
    let client = asked.extensions().get::<Client>().copied();
    let nowhere = Network::of(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let mut held = memory.hold(client.map_or(nowhere, |client| client.network()));
    let body = held.collect(asked.into_body(), MOST_BYTES, SOCKETS.pace, WITHIN).await;
    let body = body.map_err(refused)?;
    let values = values(&body);
    if values > MOST_VALUES {
        return Err(refused(Unread::TooLong));
    }
    held.grow(values).await.map_err(refused)?;
    let request = Request::read(&body).map_err(|why| (StatusCode::BAD_REQUEST, why))?;
    Ok((request, held))
}

fn refused(unread: Unread) -> Refused {
    match unread {
        Unread::TooLong => {
            let most = MOST_BYTES >> 20;
            let why = format!("the request is larger than {most} MiB, or has too many values to be read");
            (StatusCode::PAYLOAD_TOO_LARGE, why)
        }
        Unread::Lost { received } => {
            let why = format!("the request's body broke off or came too slowly, after {received} bytes");
            (StatusCode::REQUEST_TIMEOUT, why)
        }
        Unread::NoMemory => {
            let why = "too many requests are held in memory; try again".to_owned();
            (StatusCode::TOO_MANY_REQUESTS, why)
        }
    }
}

/// What the values of a JSON text may take in memory: an object of one member takes a whole node of a tree.
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
            // What is empty takes nothing.
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
    fn a7_a_small_body_that_becomes_a_large_value_is_counted_as_one() {
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
        assert!(values(pod.as_bytes()) < MOST_VALUES, "{}", values(pod.as_bytes()));
    }

    #[tokio::test]
    async fn a7_a_question_that_would_fill_the_memory_is_refused() {
        let lists = format!(r#"{{"request": [{}]}}"#, vec!["[0]"; 500_000].join(","));
        let asked = extract::Request::new(axum::body::Body::from(lists));
        assert_eq!(read(asked).await.err().map(|(status, _)| status), Some(StatusCode::PAYLOAD_TOO_LARGE));
    }
}
