//! Paths and methods as types: parses raw paths into a [`Route`] and an [`Action`].

use http::Method;
use oci::distribution::ErrorCode;
use oci::{Digest, RepositoryName, Selector};
use store::UploadId;

use super::access::Allow;
use super::observe::Operation;
use super::refusal::Refusal;
use super::tokens;

/// The object of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Live,
    Ready,
    Token,
    Base,
    Catalog,
    Blob(RepositoryName, Digest),
    Manifest(RepositoryName, Selector),
    Uploads(RepositoryName),
    Upload(RepositoryName, UploadId),
    Tags(RepositoryName),
    Referrers(RepositoryName, Digest),
    /// airlock's extension for a whole repository.
    Repository(RepositoryName),
}

/// The end of the path of a whole repository: the distribution specification has none. No name of a repository has such a
/// part.
const REPOSITORY: &str = "/_airlock/repository";

/// The action of a request. The comments give the specification's endpoint numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Live,
    Ready,
    Token,
    /// The OAuth 2 form of a token request.
    TokenForm,
    /// end-1
    Base,
    Catalog,
    /// end-2
    PullBlob(RepositoryName, Digest),
    /// end-3
    PullManifest(RepositoryName, Selector),
    /// end-8
    ListTags(RepositoryName),
    /// end-12
    ListReferrers(RepositoryName, Digest),
    /// end-4, end-11
    StartUpload(RepositoryName),
    /// end-5
    AppendUpload(RepositoryName, UploadId),
    /// end-6
    FinishUpload(RepositoryName, UploadId),
    /// end-13
    UploadStatus(RepositoryName, UploadId),
    /// end-14
    CancelUpload(RepositoryName, UploadId),
    /// end-7
    PushManifest(RepositoryName, Selector),
    /// end-9
    DeleteManifest(RepositoryName, Selector),
    /// end-10
    DeleteBlob(RepositoryName, Digest),
    DeleteRepository(RepositoryName),
}

/// The permission that an action requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    /// No permission: health checks.
    None,
    /// Requesting a token.
    Token,
    /// Checking credentials.
    LogIn,
    Pull,
    Push,
}

impl Action {
    /// The action of a method on a route.
    pub(super) fn of(method: &Method, route: Route) -> Result<Self, Refusal> {
        let read = *method == Method::GET || *method == Method::HEAD;
        Ok(match route {
            Route::Live if read => Self::Live,
            Route::Ready if read => Self::Ready,
            Route::Token if read => Self::Token,
            Route::Token if *method == Method::POST => Self::TokenForm,
            Route::Base if read => Self::Base,
            Route::Catalog if read => Self::Catalog,
            Route::Tags(repository) if read => Self::ListTags(repository),
            Route::Referrers(repository, digest) if read => Self::ListReferrers(repository, digest),
            Route::Blob(repository, digest) if read => Self::PullBlob(repository, digest),
            Route::Blob(repository, digest) if *method == Method::DELETE => {
                Self::DeleteBlob(repository, digest)
            }
            Route::Manifest(repository, selector) if read => Self::PullManifest(repository, selector),
            Route::Manifest(repository, selector) if *method == Method::PUT => {
                Self::PushManifest(repository, selector)
            }
            Route::Manifest(repository, selector) if *method == Method::DELETE => {
                Self::DeleteManifest(repository, selector)
            }
            Route::Repository(repository) if *method == Method::DELETE => Self::DeleteRepository(repository),
            Route::Uploads(repository) if *method == Method::POST => Self::StartUpload(repository),
            Route::Upload(repository, id) if read => Self::UploadStatus(repository, id),
            Route::Upload(repository, id) if *method == Method::PATCH => Self::AppendUpload(repository, id),
            Route::Upload(repository, id) if *method == Method::PUT => Self::FinishUpload(repository, id),
            Route::Upload(repository, id) if *method == Method::DELETE => Self::CancelUpload(repository, id),
            route => return Err(Refusal::method(method, route.allows())),
        })
    }

    /// The operation on the repository, and the name of its object as far as known. The steps of an upload change nothing
    /// yet.
    pub(super) fn operation(&self) -> Option<(Operation, String)> {
        match self {
            Self::PushManifest(repository, selector) => {
                Some((Operation::PushManifest, named(repository, selector)))
            }
            Self::DeleteManifest(repository, selector @ Selector::Tag(_)) => {
                Some((Operation::DeleteTag, named(repository, selector)))
            }
            Self::DeleteManifest(repository, selector) => {
                Some((Operation::DeleteManifest, named(repository, selector)))
            }
            Self::DeleteBlob(repository, digest) => {
                Some((Operation::DeleteBlob, format!("{repository}@{digest}")))
            }
            Self::DeleteRepository(repository) => Some((Operation::DeleteRepository, repository.to_string())),
            Self::StartUpload(repository) | Self::FinishUpload(repository, _) => {
                Some((Operation::PushBlob, repository.to_string()))
            }
            Self::Live
            | Self::Ready
            | Self::Token
            | Self::TokenForm
            | Self::Base
            | Self::Catalog
            | Self::PullBlob(..)
            | Self::PullManifest(..)
            | Self::ListTags(_)
            | Self::ListReferrers(..)
            | Self::AppendUpload(..)
            | Self::UploadStatus(..)
            | Self::CancelUpload(..) => None,
        }
    }

    /// The permission that the caller needs.
    pub(super) fn permission(&self) -> Permission {
        match self {
            Self::Live | Self::Ready | Self::TokenForm => Permission::None,
            Self::Token => Permission::Token,
            Self::Base => Permission::LogIn,
            Self::Catalog
            | Self::PullBlob(..)
            | Self::PullManifest(..)
            | Self::ListTags(_)
            | Self::ListReferrers(..) => Permission::Pull,
            Self::StartUpload(_)
            | Self::AppendUpload(..)
            | Self::FinishUpload(..)
            | Self::UploadStatus(..)
            | Self::CancelUpload(..)
            | Self::PushManifest(..)
            | Self::DeleteManifest(..)
            | Self::DeleteBlob(..)
            | Self::DeleteRepository(_) => Permission::Push,
        }
    }
}

impl Action {
    /// The repository in the path, and the action that policies must allow there.
    pub(super) fn needs(&self) -> Option<(&RepositoryName, Allow)> {
        match self {
            Self::Live | Self::Ready | Self::Token | Self::TokenForm | Self::Base | Self::Catalog => None,
            Self::PullBlob(repository, _)
            | Self::PullManifest(repository, _)
            | Self::ListTags(repository)
            | Self::ListReferrers(repository, _) => Some((repository, Allow::Pull)),
            Self::StartUpload(repository)
            | Self::AppendUpload(repository, _)
            | Self::FinishUpload(repository, _)
            | Self::UploadStatus(repository, _)
            | Self::CancelUpload(repository, _)
            | Self::PushManifest(repository, _) => Some((repository, Allow::Push)),
            Self::DeleteManifest(repository, _)
            | Self::DeleteBlob(repository, _)
            | Self::DeleteRepository(repository) => Some((repository, Allow::Delete)),
        }
    }

    /// The scope that a token needs, in the format of the challenge.
    pub(super) fn scope(&self) -> Option<String> {
        let (repository, actions) = match self {
            Self::Live | Self::Ready | Self::Token | Self::TokenForm | Self::Base => return None,
            Self::Catalog => return Some("registry:catalog:*".to_owned()),
            Self::PullBlob(repository, _)
            | Self::PullManifest(repository, _)
            | Self::ListTags(repository)
            | Self::ListReferrers(repository, _) => (repository, "pull"),
            Self::DeleteManifest(repository, _)
            | Self::DeleteBlob(repository, _)
            | Self::DeleteRepository(repository) => (repository, "delete"),
            Self::StartUpload(repository)
            | Self::AppendUpload(repository, _)
            | Self::FinishUpload(repository, _)
            | Self::UploadStatus(repository, _)
            | Self::CancelUpload(repository, _)
            | Self::PushManifest(repository, _) => (repository, "pull,push"),
        };
        Some(format!("repository:{repository}:{actions}"))
    }
}

fn named(repository: &RepositoryName, selector: &Selector) -> String {
    match selector {
        Selector::Tag(tag) => format!("{repository}:{tag}"),
        Selector::Digest(digest) => format!("{repository}@{digest}"),
    }
}

impl Route {
    /// Parses a path of a request line. An invalid tag is reported as not found for reads, and as invalid for writes.
    pub(super) fn parse(method: &Method, path: &str) -> Result<Self, Refusal> {
        let read = *method == Method::GET || *method == Method::HEAD;
        let path = percent_decode(path).ok_or_else(|| Refusal::not_found(path))?;
        match path.as_str() {
            "/livez" => return Ok(Self::Live),
            "/readyz" => return Ok(Self::Ready),
            tokens::PATH => return Ok(Self::Token),
            "/v2" | "/v2/" => return Ok(Self::Base),
            "/v2/_catalog" => return Ok(Self::Catalog),
            _ => {}
        }
        let rest = path.strip_prefix("/v2/").ok_or_else(|| Refusal::not_found(&path))?;
        Self::in_repository(rest, read).unwrap_or_else(|| Err(Refusal::not_found(&path)))
    }

    /// Parses the path from its end, because a name may itself contain `blobs` or `manifests`.
    fn in_repository(path: &str, read: bool) -> Option<Result<Self, Refusal>> {
        if let Some(name) =
            path.strip_suffix("/blobs/uploads").or_else(|| path.strip_suffix("/blobs/uploads/"))
        {
            return Some(repository(name).map(Self::Uploads));
        }
        if let Some(name) = path.strip_suffix(REPOSITORY) {
            return Some(repository(name).map(Self::Repository));
        }
        let (before, last) = path.rsplit_once('/')?;
        let (name, kind) = before.rsplit_once('/')?;
        Some(match (kind, last) {
            ("uploads", id) if name.ends_with("/blobs") => {
                let name = name.strip_suffix("/blobs").unwrap_or_default();
                repository(name).and_then(|name| Ok(Self::Upload(name, upload(id)?)))
            }
            ("blobs", text) => repository(name).and_then(|name| Ok(Self::Blob(name, digest(text)?))),
            ("manifests", text) => repository(name).and_then(|name| match selector(text) {
                Err(_) if read && !text.contains(':') => Err(Refusal::no_such_tag(&name, text)),
                parsed => Ok(Self::Manifest(name, parsed?)),
            }),
            ("referrers", text) => repository(name).and_then(|name| Ok(Self::Referrers(name, digest(text)?))),
            ("tags", "list") => repository(name).map(Self::Tags),
            _ => return None,
        })
    }

    fn allows(&self) -> &'static str {
        match self {
            Self::Live
            | Self::Ready
            | Self::Token
            | Self::Base
            | Self::Catalog
            | Self::Tags(_)
            | Self::Referrers(..) => "GET, HEAD",
            Self::Blob(..) => "GET, HEAD, DELETE",
            Self::Manifest(..) => "GET, HEAD, PUT, DELETE",
            Self::Repository(_) => "DELETE",
            Self::Uploads(_) => "POST",
            Self::Upload(..) => "GET, HEAD, PATCH, PUT, DELETE",
        }
    }
}

fn repository(text: &str) -> Result<RepositoryName, Refusal> {
    text.parse().map_err(|error| Refusal::invalid(ErrorCode::NameInvalid, &error))
}

fn digest(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|error| Refusal::invalid(ErrorCode::DigestInvalid, &error))
}

fn selector(text: &str) -> Result<Selector, Refusal> {
    let code = if text.contains(':') { ErrorCode::DigestInvalid } else { ErrorCode::ManifestInvalid };
    text.parse().map_err(|error| Refusal::invalid(code, &error))
}

/// An invalid session ID means that the session does not exist.
fn upload(text: &str) -> Result<UploadId, Refusal> {
    text.parse().map_err(|_| Refusal::upload_unknown(text))
}

/// The parameters of a request's query, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses a query. `+` stays a plus: no parameter has spaces, but media types have pluses.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, Refusal> {
        let decode = |part: &str| percent_decode(part).ok_or_else(|| Refusal::query(part));
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(key)?, decode(value)?))
        });
        Ok(Self(pairs.collect::<Result<_, Refusal>>()?))
    }

    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }

    pub(super) fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == key).map(|(_, value)| value.as_str())
    }
}

fn percent_decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let mut digit =
                || char::from(bytes.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            digit()? * 16 + digit()?
        } else {
            byte
        });
    }
    String::from_utf8(decoded).ok()
}

/// Encodes a value for the query of a `Link`.
pub(super) fn percent_encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}
