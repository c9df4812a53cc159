//! Files from URLs, by the same way out as all else.

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, RANGE};
use http::{HeaderValue, Method, StatusCode};
use url::Url;

use super::error::Error;
use super::shown::shown_url;
use super::transport::refused;
use super::wire::Call;
use super::{ByteStream, Client, resumes};

/// A file whose server does not say how large it is may have this many bytes.
const MOST_UNANNOUNCED: u64 = 64 << 30;

impl Client {
    /// A file from a URL, from position `from` on. Never more than the server announces.
    ///
    /// # Errors
    /// Anything but an answer.
    pub async fn file(&self, url: &str, from: u64) -> Result<ByteStream, Error> {
        self.file_within(url, from, None).await
    }

    async fn file_within(&self, url: &str, from: u64, most: Option<u64>) -> Result<ByteStream, Error> {
        let mut call = call(url)?;
        if from > 0
            && let Ok(range) = HeaderValue::from_str(&format!("bytes={from}-"))
        {
            call.headers.insert(RANGE, range);
        }
        let mut answer = self.0.wire.send(&call).await?;
        // What is there already may be all there is: then from the start again, to be hashed.
        if from > 0 && answer.response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            call.headers.remove(RANGE);
            answer = self.0.wire.send(&call).await?;
        }
        let start = match answer.response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if resumes(answer.response.headers(), from) => from,
            StatusCode::PARTIAL_CONTENT => {
                let host = answer.url.host_str().unwrap_or_default().to_owned();
                return Err(Error::Protocol { host, what: "it sent a different range than requested" });
            }
            _ => return Err(refused(&self.0.wire, answer).await),
        };
        let announced = answer.response.content_length();
        let most = most.or(announced).unwrap_or(MOST_UNANNOUNCED);
        Ok(self.stream(answer, start, most, announced, None))
    }

    /// A small file, whole; again when it broke off.
    ///
    /// # Errors
    /// [`Error::TooLong`] when it is larger than `most`, or anything but an answer.
    pub async fn small_file(&self, url: &str, most: u64) -> Result<Bytes, Error> {
        self.0.wire.whole(|| async { self.file_within(url, 0, Some(most)).await?.whole().await }).await
    }

    /// The size that a server announces for a URL, if it answers and tells one. Only for plans: content decides.
    pub async fn announced_size(&self, url: &str) -> Option<u64> {
        let mut call = call(url).ok()?;
        call.method = Method::HEAD;
        let answer = self.0.wire.once(&call).await.ok()?;
        if !answer.response.status().is_success() {
            return None;
        }
        answer.response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }
}

fn call(url: &str) -> Result<Call, Error> {
    let unusable = || Error::NotUrl { url: shown_url(url) };
    let parsed = Url::parse(url).map_err(|_| unusable())?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        return Err(unusable());
    }
    let mut call = Call::get(parsed);
    call.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok(call)
}
