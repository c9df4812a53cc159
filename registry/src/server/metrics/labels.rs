//! The labels of metrics.

use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;

use crate::server::route::Action;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) route: &'static str,
    pub(super) method: &'static str,
    pub(super) status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TimeLabels {
    pub(super) route: &'static str,
    pub(super) method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RouteLabel {
    pub(super) route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DecisionLabels {
    pub(super) gate: &'static str,
    pub(super) decision: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeLabel {
    pub(super) outcome: &'static str,
}

/// The route of an action; `other` for a request without one.
pub(in crate::server) fn route(action: Option<&Action>) -> &'static str {
    match action {
        None => "other",
        Some(Action::Live | Action::Ready) => "health",
        Some(Action::Token | Action::TokenForm) => "token",
        Some(Action::Base) => "base",
        Some(Action::Catalog) => "catalog",
        Some(Action::PullBlob(..) | Action::DeleteBlob(..)) => "blob",
        Some(Action::PullManifest(..) | Action::PushManifest(..) | Action::DeleteManifest(..)) => "manifest",
        Some(Action::DeleteRepository(_)) => "repository",
        Some(Action::ListTags(_)) => "tags",
        Some(Action::ListReferrers(..)) => "referrers",
        Some(
            Action::StartUpload(_)
            | Action::AppendUpload(..)
            | Action::FinishUpload(..)
            | Action::UploadStatus(..)
            | Action::CancelUpload(..),
        ) => "upload",
    }
}

/// The name of a method. Clients can send any word as a method.
pub(super) fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// The class of a status.
pub(super) fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}
