//! `AdmissionReview` (`admission.k8s.io/v1`): what is asked, and the answer in its form.

use std::collections::BTreeMap;

use k8s_openapi::api::authentication::v1::UserInfo;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::eksa::Verdict;

/// A request may hold an object twice, as it was and as it is to be; the API server's bound for one is 3 MiB.
pub(super) const MOST_BYTES: usize = 8 << 20;

const VERSION: &str = "admission.k8s.io/v1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    request: Option<Request>,
}

/// What is asked.
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

/// A kind, whatever its version.
#[derive(Deserialize)]
pub(super) struct GroupKind {
    #[serde(default)]
    pub(super) group: String,
    pub(super) kind: String,
}

impl Request {
    /// Reads a body. What cannot be read has no `uid` to answer to; the API server takes that for a failure.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let review: Review =
            serde_json::from_slice(body).map_err(|error| format!("decoding request: {error}"))?;
        if review.api_version != VERSION || review.kind != "AdmissionReview" {
            let (version, kind) = (review.api_version, review.kind);
            return Err(format!(
                "decoding request: `{kind}` of `{version}` is no AdmissionReview of {VERSION}"
            ));
        }
        review.request.ok_or_else(|| "decoding request: there is no request in it".to_owned())
    }

    /// The object as it was; none when it is new.
    pub(super) fn old(&self) -> Option<&Value> {
        (!self.old_object.is_null()).then_some(&self.old_object)
    }

    /// What it is about, for messages and logs: the name is not given yet to what asks for a generated one.
    pub(super) fn subject(&self) -> String {
        let generated = self.object.pointer("/metadata/generateName").and_then(Value::as_str);
        let name = if self.name.is_empty() {
            format!("{}*", generated.unwrap_or_default())
        } else {
            self.name.clone()
        };
        if self.namespace.is_empty() { name } else { format!("{}/{name}", self.namespace) }
    }

    /// Who asks.
    pub(super) fn user(&self) -> &str {
        self.user_info.username.as_deref().unwrap_or_default()
    }
}

/// What is answered.
#[derive(Default)]
pub(super) struct Answer {
    /// Why not, with the HTTP status that says whose fault it is.
    pub(super) denied: Option<(u16, String)>,
    /// What whoever asked is told all the same.
    pub(super) warnings: Vec<String>,
    /// What the API server writes into its audit log.
    pub(super) audit: BTreeMap<String, String>,
    /// What is changed: a JSON patch.
    pub(super) patch: Option<Vec<u8>>,
}

/// The API server shortens longer ones, and drops all when they come to too much.
const MOST_WARNING: usize = 256;
const MOST_WARNINGS: usize = 16;

impl Answer {
    pub(super) fn denied(code: u16, message: impl Into<String>) -> Self {
        Self { denied: Some((code, message.into())), ..Self::default() }
    }

    /// For metrics.
    pub(super) fn word(&self) -> &'static str {
        match self.denied {
            None => "allowed",
            Some((400..500, _)) => "denied",
            Some(_) => "failed",
        }
    }

    /// The whole answer in its form.
    pub(super) fn write(self, uid: &str) -> Value {
        let mut response = json!({"uid": uid, "allowed": self.denied.is_none()});
        if let Some((code, message)) = self.denied {
            // Upstream's reason is its message; what a policy forbids has Kubernetes' own word.
            let reason = if code == 403 { "Forbidden" } else { message.as_str() };
            response["status"] =
                json!({"status": "Failure", "code": code, "reason": reason, "message": message});
        }
        if !self.warnings.is_empty() {
            let warnings: Vec<_> =
                self.warnings.iter().take(MOST_WARNINGS).map(|text| shortened(text, MOST_WARNING)).collect();
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

impl From<Verdict> for Answer {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allowed { warnings } => Self { warnings, ..Self::default() },
            Verdict::Denied { code, message } => Self::denied(code, message),
        }
    }
}

fn shortened(text: &str, most: usize) -> String {
    // A header's value has no control characters.
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.char_indices().find(|(at, c)| at + c.len_utf8() > most - 3) {
        Some((at, _)) if text.len() > most => format!("{}...", &text[..at]),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_review_is_told_and_not_guessed() {
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
    fn an_answer_has_the_uid_and_upstream_s_form_of_a_refusal() {
        let answer = Answer::denied(400, "no").write("u-1");
        assert_eq!(answer["response"]["uid"], "u-1");
        assert_eq!(answer["response"]["allowed"], false);
        assert_eq!(
            answer["response"]["status"],
            json!({"status": "Failure", "code": 400, "reason": "no", "message": "no"})
        );
    }

    #[test]
    fn warnings_fit_the_api_server() {
        let warnings = vec!["é".repeat(300), "a\nb".to_owned()];
        let answer = Answer { warnings, ..Answer::default() }.write("u");
        let long = answer["response"]["warnings"][0].as_str().unwrap();
        assert!(long.len() <= 256 && long.ends_with("..."), "{}", long.len());
        assert_eq!(answer["response"]["warnings"][1], "a b");
    }
}
