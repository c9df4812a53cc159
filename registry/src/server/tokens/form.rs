//! The OAuth 2 form of a token request: `POST /token` with `grant_type=password`.

use axum::response::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use oci::distribution::ErrorCode;
use serde_json::json;

use super::super::App;
use super::super::guard::memory::BodyError;
use super::super::handle::Call;
use super::super::refusal::Refusal;
use super::super::route::Query;

/// The maximum size of a form, in bytes.
const MOST: usize = 16 * 1024;
const FORM: &str = "application/x-www-form-urlencoded";

/// Answers a token request that is a form. The parameters `service`, `client_id` and `access_type` are ignored.
pub(in crate::server) async fn form(app: &App, call: &mut Call) -> Result<Response, Refusal> {
    let kind = call.header(&CONTENT_TYPE).unwrap_or_default();
    if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(FORM)) {
        return Err(invalid("the request is not a form", &format!("send it as {FORM}")));
    }
    let mut lease = call.memory(app).lease(call.network());
    let within = app.limits.manifest;
    let body = lease.collect(call.take_body(), MOST, app.limits.pace(), within).await;
    let body = body.map_err(|error| match error {
        BodyError::TooLong => invalid("the form is too long", "request a token for fewer scopes"),
        error @ (BodyError::Lost { .. } | BodyError::NoMemory) => Refusal::body(error, MOST),
    })?;
    // In a form, a space is a plus, and a plus is encoded.
    let text = String::from_utf8_lossy(&body).replace('+', "%20");
    let form = Query::parse(Some(&text))?;
    if form.value("grant_type") != Some("password") {
        let hint = "use `grant_type=password`, or GET with a user name and a password";
        return Err(invalid("the grant type is not supported", hint));
    }
    let field = |name| form.value(name).unwrap_or_default();
    let password = Some((field("username"), field("password")));
    let password = password.filter(|(user, password)| !user.is_empty() || !password.is_empty());
    call.claimed = password.map(|(user, _)| user.to_owned());
    call.caller = app.authenticator.form(password, call.presented()).await?;
    app.authenticator.grant(&call.caller, form.values("scope"))
}

fn invalid(message: &str, hint: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::Unsupported, message, json!({ "hint": hint }))
}
