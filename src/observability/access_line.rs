//! One line of the access log. Clients choose most of its texts, so everything that could end a field or a line, or control a
//! terminal, is escaped.

use clap::ValueEnum;
use registry::server::Access;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use tlog::text;

/// The format of the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccessFormat {
    /// The combined log format of web servers, then the duration, the bytes received, the end and the request's ID.
    Combined,
    /// One JSON document per line.
    Json,
}

impl AccessFormat {
    /// The line of a request, with its line break.
    pub(super) fn line(self, access: &Access) -> String {
        match self {
            Self::Combined => combined(access),
            Self::Json => json_line(access),
        }
    }
}

fn combined(access: &Access) -> String {
    let Access { method, target, version, status, received, sent, .. } = access;
    let client = access.visitor.address.map_or_else(|| "-".to_owned(), |address| address.ip().to_string());
    let user = match access.visitor.user.as_deref() {
        None | Some("") => "-".to_owned(),
        Some(user) => escaped(user, b" "),
    };
    let format = format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
    let time = OffsetDateTime::from(access.time).format(format).unwrap_or_default();
    let (method, target) = (escaped(method, b" "), escaped(target, b" "));
    let agent = access.user_agent.as_deref().map_or_else(|| "-".to_owned(), |agent| escaped(agent, b""));
    let (seconds, end) = (access.duration.as_secs_f64(), end(access));
    let id = escaped(&access.request_id, b" ");
    format!(
        "{client} - {user} [{time}] \"{method} {target} {version}\" {status} {sent} \"-\" \"{agent}\" \
         {seconds:.3} {received} {end} {id}\n"
    )
}

/// How the response ended.
fn end(access: &Access) -> &'static str {
    if access.complete { "complete" } else { "aborted" }
}

/// Escapes quotes, backslashes, the bytes in `also`, and everything that is not printable ASCII, byte by byte as web servers
/// do.
fn escaped(text: &str, also: &[u8]) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        let is_plain = (byte.is_ascii_graphic() || byte == b' ') && !b"\"\\".contains(&byte);
        if is_plain && !also.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("\\x{byte:02x}"));
        }
        out
    })
}

fn json_line(access: &Access) -> String {
    let line = json!({
        "time": OffsetDateTime::from(access.time).format(&Rfc3339).unwrap_or_default(),
        "client": access.visitor.address.map(|address| address.ip().to_string()),
        "user": access.visitor.user,
        "method": access.method,
        "target": access.target,
        "protocol": access.version,
        "status": access.status,
        "sentBytes": access.sent,
        "receivedBytes": access.received,
        "seconds": access.duration.as_secs_f64(),
        "end": end(access),
        "requestId": access.request_id,
        "userAgent": access.user_agent,
    });
    text::json(&line.to_string()).into_owned() + "\n"
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use registry::server::Visitor;

    use super::*;

    /// A request for this target.
    pub(crate) fn access(target: &str) -> Access {
        Access {
            time: UNIX_EPOCH + Duration::from_secs(1_796_122_393),
            visitor: Visitor {
                user: Some("ann".to_owned()),
                address: Some("192.0.2.1:4711".parse().unwrap()),
            },
            method: "GET".to_owned(),
            target: target.to_owned(),
            version: "HTTP/1.1",
            status: 200,
            received: 7,
            sent: 1234,
            complete: true,
            duration: Duration::from_micros(1500),
            request_id: "1f-2".to_owned(),
            user_agent: Some("curl/8.0".to_owned()),
        }
    }

    #[test]
    fn a_combined_line_has_the_fields_of_web_servers_first() {
        assert_eq!(
            AccessFormat::Combined.line(&access("/v2/a/manifests/v1?ns=quay.io")),
            "192.0.2.1 - ann [01/Dec/2026:10:53:13 +0000] \"GET /v2/a/manifests/v1?ns=quay.io HTTP/1.1\" 200 1234 \"-\" \
             \"curl/8.0\" 0.002 7 complete 1f-2\n"
        );
        let anonymous =
            Access { visitor: Visitor::default(), user_agent: None, complete: false, ..access("/") };
        let line = AccessFormat::Combined.line(&anonymous);
        assert!(
            line.starts_with("- - - [") && line.ends_with(" \"-\" \"-\" 0.002 7 aborted 1f-2\n"),
            "{line}"
        );
    }

    #[test]
    fn texts_of_clients_cannot_forge_fields_or_lines() {
        let mut forged = access("/v2/\" 200 0 \"-\n192.0.2.9 - root");
        forged.user_agent = Some("a\"\\\r\n\u{1b}[2J\u{202e}é".to_owned());
        forged.visitor.user = Some("ann [x] \"".to_owned());
        let line = AccessFormat::Combined.line(&forged);
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(line.matches('"').count(), 6, "{line}");
        assert!(line.is_ascii() && !line.trim_end().chars().any(char::is_control), "{line}");
        assert!(line.contains(r"ann\x20[x]\x20\x22 ["), "{line}");
        let line = AccessFormat::Json.line(&forged);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.contains('\u{202e}') && !line.contains('\u{1b}'), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["userAgent"], "a\"\\\r\n\u{1b}[2J\u{202e}é");
        assert_eq!((&value["sentBytes"], &value["user"]), (&1234.into(), &"ann [x] \"".into()));
    }
}
