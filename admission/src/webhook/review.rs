//! `AdmissionReview` (`admission.k8s.io/v1`): requests and responses.

use std::collections::BTreeMap;

use k8s_openapi::api::authentication::v1::UserInfo;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::eksa::Verdict;

/// A request may contain two versions of an object, the old and the new one. The API server's limit for one is 3 MiB.
pub(super) const MAX_BYTES: usize = 8 << 20;

const VERSION: &str = "admission.k8s.io/v1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    request: Option<Request>,
}

/// An admission request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) uid: String,
    pub(super) kind: GroupKind,
    #[serde(default)]
    pub(super) sub_resource: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) namespace: String,
    pub(super) operation: String,
    #[serde(default)]
    pub(super) user_info: UserInfo,
    #[serde(default)]
    pub(super) object: Value,
    #[serde(default)]
    pub(super) old_object: Value,
}

/// A kind without its version.
#[derive(Deserialize)]
pub(super) struct GroupKind {
    #[serde(default)]
    pub(super) group: String,
    pub(super) kind: String,
}

impl Request {
    /// Parses a body. If it cannot be parsed, there is no `uid` to respond to, and the API server treats that as a failure.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let review: Review =
            serde_json::from_slice(body).map_err(|error| format!("decoding request: {error}"))?;
        if review.api_version != VERSION || review.kind != "AdmissionReview" {
            let (version, kind) = (review.api_version, review.kind);
            return Err(format!(
                "decoding request: expected an AdmissionReview of {VERSION}, found `{kind}` of `{version}`"
            ));
        }
        review.request.ok_or_else(|| "decoding request: the review has no request".to_owned())
    }

    /// The object before the change; `None` if it is new.
    pub(super) fn old(&self) -> Option<&Value> {
        (!self.old_object.is_null()).then_some(&self.old_object)
    }

    /// The object's namespace and name, for messages and logs. A generated name is not assigned yet: its prefix is used.
    pub(super) fn subject(&self) -> String {
        let generated = self.object.pointer("/metadata/generateName").and_then(Value::as_str);
        let name = if self.name.is_empty() {
            format!("{}*", generated.unwrap_or_default())
        } else {
            self.name.clone()
        };
        if self.namespace.is_empty() { name } else { format!("{}/{name}", self.namespace) }
    }

    /// The user who sent the request.
    pub(super) fn user(&self) -> &str {
        self.user_info.username.as_deref().unwrap_or_default()
    }
}

/// The response to a request.
#[derive(Default)]
pub(super) struct AdmissionResponse {
    /// The HTTP status and the reason of a rejection.
    pub(super) denied: Option<(u16, String)>,
    /// Warnings for the client.
    pub(super) warnings: Vec<String>,
    /// Annotations for the API server's audit log.
    pub(super) audit: BTreeMap<String, String>,
    /// The changes to the object: a JSON patch.
    pub(super) patch: Option<Vec<u8>>,
}

/// The API server truncates longer warnings, and drops all if their total size is too large.
const MAX_WARNING_BYTES: usize = 256;
const MAX_WARNINGS: usize = 16;

impl AdmissionResponse {
    pub(super) fn denied(code: u16, message: impl Into<String>) -> Self {
        Self { denied: Some((code, message.into())), ..Self::default() }
    }

    /// The decision, for metrics.
    pub(super) fn decision(&self) -> &'static str {
        match self.denied {
            None => "allowed",
            Some((400..500, _)) => "denied",
            Some(_) => "failed",
        }
    }

    /// The response as an `AdmissionReview`.
    pub(super) fn write(self, uid: &str) -> Value {
        let mut response = json!({"uid": uid, "allowed": self.denied.is_none()});
        if let Some((code, message)) = self.denied {
            // Upstream repeats the message as the reason. Violations of a policy have Kubernetes' own reason.
            let reason = if code == 403 { "Forbidden" } else { message.as_str() };
            response["status"] =
                json!({"status": "Failure", "code": code, "reason": reason, "message": message});
        }
        if !self.warnings.is_empty() {
            let warnings: Vec<_> = self
                .warnings
                .iter()
                .take(MAX_WARNINGS)
                .map(|text| shortened(text, MAX_WARNING_BYTES))
                .collect();
            response["warnings"] = json!(warnings);
        }
        if !self.audit.is_empty() {
            response["auditAnnotations"] = json!(self.audit);
        }
        if let Some(patch) = self.patch {
            use base64::Engine as _;
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(base64::engine::general_purpose::STANDARD.encode(patch));
        }
        json!({"apiVersion": VERSION, "kind": "AdmissionReview", "response": response})
    }
}

impl From<Verdict> for AdmissionResponse {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allowed { warnings } => Self { warnings, ..Self::default() },
            Verdict::Denied { code, message } => Self::denied(code, message),
        }
    }
}

fn shortened(text: &str, limit: usize) -> String {
    // A header value must not contain control characters.
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.char_indices().find(|(at, c)| at + c.len_utf8() > limit - 3) {
        Some((at, _)) if text.len() > limit => format!("{}...", &text[..at]),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_not_a_review_is_rejected() {
        for body in ["", "{}", "[]", r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#] {
            assert!(
                Request::read(body.as_bytes()).err().unwrap().starts_with("decoding request: "),
                "{body}"
            );
        }
        let old = json!({"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "request": {
            "uid": "u", "kind": {"kind": "Pod"}, "operation": "CREATE"}});
        assert!(Request::read(old.to_string().as_bytes()).is_err());
    }

    #[test]
    fn a_response_has_the_uid_and_upstream_s_form_of_a_rejection() {
        let review = AdmissionResponse::denied(400, "no").write("u-1");
        assert_eq!(review["response"]["uid"], "u-1");
        assert_eq!(review["response"]["allowed"], false);
        assert_eq!(
            review["response"]["status"],
            json!({"status": "Failure", "code": 400, "reason": "no", "message": "no"})
        );
    }

    #[test]
    fn warnings_fit_the_api_server() {
        let warnings = vec!["é".repeat(300), "a\nb".to_owned()];
        let review = AdmissionResponse { warnings, ..AdmissionResponse::default() }.write("u");
        let long = review["response"]["warnings"][0].as_str().unwrap();
        assert!(long.len() <= 256 && long.ends_with("..."), "{}", long.len());
        assert_eq!(review["response"]["warnings"][1], "a b");
    }
}
