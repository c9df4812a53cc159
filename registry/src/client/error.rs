//! The errors of the client.

mod class;

use std::fmt;

use http::StatusCode;
use oci::Digest;

use super::exchange::ExchangeError;

/// Where a request went, as messages name it. It has no secrets in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The URL that was asked last, without user, password and query.
    pub url: String,
    /// The registry as it stands in references; none for a file.
    pub host: Option<String>,
    /// The proxy that the request went through.
    pub proxy: Option<String>,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.url)?;
        if let Some(host) = &self.host {
            write!(f, " (registry `{host}`)")?;
        }
        if let Some(proxy) = &self.proxy {
            write!(f, " through the proxy `{proxy}`")?;
        }
        Ok(())
    }
}

/// Every way in which a request to a registry can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// A certificate file is unusable.
    #[error("the certificate file for `{host}` is not usable: {reason}")]
    CaFile {
        /// The host that it was given for.
        host: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A proxy's address is unusable.
    #[error("the proxy `{proxy}` is not usable: {reason}")]
    ProxyAddress {
        /// The address, without its password.
        proxy: String,
        /// Why.
        reason: &'static str,
    },
    /// The server did not respond.
    #[error("no response from {at}")]
    Request {
        /// Who was asked.
        at: Box<At>,
        /// What happened.
        #[source]
        source: ExchangeError,
    },
    /// The proxy could not be reached, or did not let the request through.
    #[error("the proxy `{proxy}` did not connect to {at}")]
    Proxy {
        /// The proxy.
        proxy: String,
        /// Who was to be asked.
        at: Box<At>,
        /// What happened.
        #[source]
        source: Option<ExchangeError>,
    },
    /// A redirect that is not followed.
    #[error("{at} redirects to `{to}`: {reason}")]
    Redirect {
        /// Who redirects.
        at: Box<At>,
        /// Where to.
        to: String,
        /// Why it is not followed.
        reason: &'static str,
    },
    /// The server responded with an error status.
    #[error("{at} responded with status {status}: {said}")]
    Refused {
        /// Who answered.
        at: Box<At>,
        /// The answer's status.
        status: StatusCode,
        /// What the server said.
        said: String,
        /// What the server advises, where it denies the request by a rule of its own.
        advice: Option<String>,
    },
    /// The token service gave no token.
    #[error("the token service {at} issued no token: {reason}")]
    Token {
        /// The service.
        at: Box<At>,
        /// Why.
        reason: String,
    },
    /// The registry violated the protocol.
    #[error("`{host}` violated the protocol: {what}")]
    Protocol {
        /// The host.
        host: String,
        /// How.
        what: &'static str,
    },
    /// What is to be pushed cannot be read.
    #[error("cannot read the content to push")]
    Source(#[source] std::io::Error),
    /// A download broke off.
    #[error("the connection to {at} broke")]
    Broken {
        /// Who was sending.
        at: Box<At>,
        /// How.
        #[source]
        source: hyper::Error,
    },
    /// A body ended before its size.
    #[error("{at} sent {found} of {expected} bytes")]
    Short {
        /// Who was sending.
        at: Box<At>,
        /// How many bytes should have come.
        expected: u64,
        /// How many came.
        found: u64,
    },
    /// A body is too slow to end.
    #[error("{at} sent fewer than {least} bytes in {seconds} seconds")]
    Stalled {
        /// Who was sending.
        at: Box<At>,
        /// How many bytes are the fewest.
        least: u64,
        /// In how much time.
        seconds: u64,
    },
    /// A body is larger than it may be.
    #[error("{at} sent more than {limit} bytes, which is the limit for this content")]
    TooLong {
        /// Who was sending.
        at: Box<At>,
        /// The most bytes.
        limit: u64,
    },
    /// A listing is longer than it may be.
    #[error("{at} lists more than {limit} {what}")]
    TooMany {
        /// Who lists.
        at: Box<At>,
        /// The most of them.
        limit: usize,
        /// What is listed.
        what: &'static str,
    },
    /// The manifest is not valid.
    #[error("the manifest of `{reference}` that {at} sent is not valid{}", page(html))]
    Manifest {
        /// What was asked for.
        reference: String,
        /// Who sent it.
        at: Box<At>,
        /// Whether the answer calls itself a web page.
        html: bool,
        /// Why.
        #[source]
        source: oci::Error,
    },
    /// The manifest is of a kind that is known and not supported.
    #[error("`{reference}` is {kind}, which is not supported")]
    Unsupported {
        /// What was asked for.
        reference: String,
        /// The kind.
        kind: &'static str,
    },
    /// The content is other than asked for.
    #[error("{at} sent content with the digest `{found}` for `{reference}`, expected `{expected}`")]
    Digest {
        /// What was asked for.
        reference: String,
        /// Who sent it.
        at: Box<At>,
        /// The digest that was asked for or announced.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// A referrers list is malformed.
    #[error("the list of referrers that {at} sent is malformed{}", page(html))]
    Referrers {
        /// Who sent it.
        at: Box<At>,
        /// Whether the answer calls itself a web page.
        html: bool,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// JSON cannot be written.
    #[error("the index of referrers cannot be written")]
    Json(#[source] serde_json::Error),
    /// A URL is malformed, or not HTTP.
    #[error("`{url}` is not an HTTP URL")]
    NotUrl {
        /// As given, without secrets.
        url: String,
    },
    /// Docker's configuration cannot be read.
    #[error("cannot read Docker's configuration `{path}`")]
    DockerConfig {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A credential helper failed.
    #[error("the credential helper `docker-credential-{helper}` failed")]
    Helper {
        /// Its name.
        helper: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// What a web page instead of content most often is.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "a derived message gives a reference")]
pub(super) const fn page(html: &bool) -> &'static str {
    if *html { "; it is an HTML page, most often the login page of a proxy or portal" } else { "" }
}

impl Error {
    /// Whether the server says that it does not have the content, or gives it to no client.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if matches!(status.as_u16(), 403 | 404 | 410 | 451))
    }

    /// Whether a body broke off, so that it is worth to ask for the rest. Requests without an answer were made again
    /// already.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::Short { .. } | Self::Stalled { .. })
    }

    /// Whether the content seems to be cut or changed on the way. It is then requested again.
    pub(super) fn is_garbled(&self) -> bool {
        match self {
            Self::Digest { .. } => true,
            // A body without a length that ends with the connection looks like a cut one.
            Self::Manifest { source: oci::Error::ManifestJson(error), html, .. } => !html && error.is_eof(),
            Self::Referrers { source, html, .. } => !html && source.is_eof(),
            _ => false,
        }
    }

    /// Whether TLS failed, as by a certificate that is not accepted: it will fail a little later, too.
    pub(super) fn is_tls(error: &ExchangeError) -> bool {
        tls(error).is_some()
    }

    /// Whether the server's certificate is signed by an unknown CA.
    #[must_use]
    pub fn is_unknown_ca(&self) -> bool {
        let unknown = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        matches!(self, Self::Request { source, .. } if tls(source) == Some(&unknown))
    }

    /// Whether the server answered a TLS connection with something else, such as plain HTTP.
    #[must_use]
    pub fn is_not_tls(&self) -> bool {
        matches!(self, Self::Request { source, .. } if is_no_tls_message(tls(source)))
    }

    /// Whether the server requires a log-in, or denies this user.
    #[must_use]
    pub fn needs_login(&self) -> bool {
        match self {
            Self::Token { .. } => true,
            Self::Refused { status, advice, .. } => {
                advice.is_none() && matches!(*status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            }
            _ => false,
        }
    }

    /// What to do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused { advice: Some(advice), .. } => Some(advice),
            Self::Refused { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, at, .. }
                if at.host.is_some() =>
            {
                Some(LOG_IN)
            }
            Self::Token { .. } => Some(LOG_IN),
            Self::Refused { status: StatusCode::NOT_FOUND | StatusCode::GONE, .. } => {
                Some("check the name and the digest: the server answers, but does not have it")
            }
            Self::Request { .. } if self.is_not_tls() => Some(
                "the server does not speak TLS: check the port; for plain HTTP, set `plainHTTP: true` in `registries` of \
                 the mirror file",
            ),
            Self::Request { source, .. } if tls(source).is_some() => Some(
                "provide the CA that signed the server's certificate, or the certificate itself, as PEM: `caFile` of \
                 `registries` in the mirror file",
            ),
            Self::Proxy { .. } | Self::ProxyAddress { .. } => Some(
                "check HTTPS_PROXY and HTTP_PROXY; NO_PROXY lists hosts that are reached without a proxy",
            ),
            Self::Request { .. } | Self::Refused { .. } => Some(
                "check the host, the network and the `registries` of the mirror file, then run the command again",
            ),
            Self::Broken { .. } | Self::Short { .. } | Self::Stalled { .. } => {
                Some("run the command again to resume")
            }
            Self::Redirect { .. } => Some("in the mirror file, name the server that has the content"),
            Self::CaFile { .. } => Some("provide the CA certificate as PEM"),
            Self::Helper { .. } => Some("check `credHelpers` and `credsStore` in Docker's config.json"),
            Self::Digest { .. } | Self::Manifest { .. } | Self::Referrers { .. } => Some(
                "the server, or a proxy in front of it, changes content: ask the registry's operator before you continue",
            ),
            _ => None,
        }
    }
}

const LOG_IN: &str = "log in with `docker login` or `podman login --compat-auth-file` to the registry that the error names, then run the command again";

fn is_no_tls_message(error: Option<&rustls::Error>) -> bool {
    matches!(error, Some(rustls::Error::InvalidMessage(_)))
}

/// The TLS error in a chain of causes. An `io::Error` is not its content's own cause, so that is looked for in it.
fn tls<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => tls(inner),
        None => error.source().and_then(tls),
    }
}
