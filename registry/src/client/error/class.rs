//! The class of each error.

use error_class::{Class, Classified};
use http::StatusCode;

use super::Error;

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::CaFile { .. }
            | Self::ProxyAddress { .. }
            | Self::NotUrl { .. }
            | Self::DockerConfig { .. }
            | Self::Helper { .. } => Class::Usage,
            Self::TooLong { .. }
            | Self::TooMany { .. }
            | Self::Manifest { .. }
            | Self::Unsupported { .. }
            | Self::Digest { .. }
            | Self::Referrers { .. } => Class::Refused,
            Self::Request { .. }
            | Self::Proxy { .. }
            | Self::Redirect { .. }
            | Self::Token { .. }
            | Self::Protocol { .. }
            | Self::Broken { .. }
            | Self::Short { .. }
            | Self::Stalled { .. } => Class::Network,
            Self::Refused { status, advice, .. } => of_answer(*status, advice.as_deref()),
            Self::Tls(_) | Self::Source(_) | Self::Json(_) => Class::Other,
        }
    }
}

/// A server that denies by a rule of its own, and says what to do, judged the content. Any other 403 is about the user.
fn of_answer(status: StatusCode, advice: Option<&str>) -> Class {
    if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        Class::Missing
    } else if advice.is_some() {
        Class::Refused
    } else {
        Class::Network
    }
}
