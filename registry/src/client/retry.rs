//! When a request is made again: after an answer that means "later", or a failure that may pass.

use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, StatusCode};

use super::error::Error;
use super::shown::shown;
use super::wire::{Call, Reply, Wire};

/// The longest wait that a server may ask for.
const LONGEST: Duration = Duration::from_mins(2);
/// How often content that is not what was asked for is asked for again.
const MOST_GARBLED: u32 = 2;

impl Call {
    /// Whether it may be made twice without harm (RFC 9110, 9.2.2).
    fn is_idempotent(&self) -> bool {
        self.repeats || matches!(self.method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE)
    }
}

impl Wire {
    /// Sends a request until there is an answer other than "later", or no more tries.
    pub(super) async fn send(&self, call: &Call) -> Result<Reply, Error> {
        let mut tries = 0;
        loop {
            let outcome = self.once(call).await;
            let wait = match &outcome {
                Ok(answer) if is_busy(answer.response.status(), call.is_idempotent()) => {
                    retry_after(answer.response.headers(), SystemTime::now())
                }
                Err(error) if may_pass(error, call.is_idempotent()) => None,
                _ => return outcome,
            };
            if tries >= self.tries {
                return outcome;
            }
            tries += 1;
            let wait = wait.unwrap_or_else(|| self.backoff(tries)).min(LONGEST);
            let url = shown(&call.url);
            tracing::info!(url, tries, wait_ms = wait.as_millis(), "retrying the request");
            drop(outcome);
            tokio::time::sleep(wait).await;
        }
    }

    /// Reads a body whole: again when it broke off, and a few times when it is not what was asked for.
    pub(super) async fn whole<T, F>(&self, mut read: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut tries = 0;
        loop {
            let outcome = read().await;
            match outcome {
                Err(error) if self.reads_again(&error, tries) => {
                    tries += 1;
                    tokio::time::sleep(self.backoff(tries)).await;
                }
                outcome => return outcome,
            }
        }
    }

    fn reads_again(&self, error: &Error, tries: u32) -> bool {
        let most = if error.is_garbled() { self.tries.min(MOST_GARBLED) } else { self.tries };
        (error.is_passing() || error.is_garbled()) && tries < most
    }

    /// The wait before a try.
    fn backoff(&self, tries: u32) -> Duration {
        self.pause.saturating_mul(1 << tries.saturating_sub(1).min(6))
    }
}

/// Whether an answer means "later".
fn is_busy(status: StatusCode, idempotent: bool) -> bool {
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => true,
        StatusCode::REQUEST_TIMEOUT | StatusCode::INTERNAL_SERVER_ERROR => idempotent,
        _ => false,
    }
}

/// Whether a failure may pass. A certificate, and a server without TLS, stay as they are.
fn may_pass(error: &Error, idempotent: bool) -> bool {
    match error {
        Error::Request { source, .. } | Error::Proxy { source: Some(source), .. } => {
            !Error::is_tls(source) && !source.is_malformed() && (idempotent || source.is_connect())
        }
        _ => false,
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_seconds_or_as_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        for (text, seconds) in [
            ("7", Some(7)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", Some(0)),
            ("soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
