//! Who the caller of a request is, if policies decide what it may do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::Response;
use http::HeaderMap;
use time::OffsetDateTime;

use super::super::access::{Login, Policies, Rights, Robots, Scopes};
use super::super::guard::address::Network;
use super::super::refusal::{Refusal, TokenFault};
use super::super::route::Permission;
use super::super::tokens::Holder;
use super::{Auth, Authenticator, Caller, Credentials, credentials};

/// The delay of the refusal of a wrong secret. A wrong password takes its time anyway.
const WRONG: Duration = Duration::from_millis(100);

impl Authenticator {
    /// This authenticator with another configuration. Limits on guesses continue. With policies before and after, tokens stay
    /// valid as long as the password or secret that they were issued for; other tokens are not bound to a password, and end.
    pub(in crate::server) fn succeeded_by(&self, auth: Auth) -> Self {
        let are_bound = matches!((&self.auth, &auth), (Auth::Policies(_), Auth::Policies(_)));
        let tokens = if are_bound { Arc::clone(&self.tokens) } else { Arc::default() };
        Self { tokens, guesses: Arc::clone(&self.guesses), ..Self::new(auth) }
    }

    /// Whether `/token` also accepts forms.
    pub(in crate::server) fn takes_forms(&self) -> bool {
        matches!(self.auth, Auth::Policies(_))
    }

    /// Identifies the caller, and returns its rights.
    pub(super) async fn identify(
        &self,
        policies: &Arc<Policies>,
        permission: Permission,
        headers: &HeaderMap,
        network: Network,
    ) -> Result<(Caller, Rights), Refusal> {
        let (caller, scopes) = match (credentials(headers), permission) {
            (_, Permission::None) => return Ok((Caller::Anonymous, Rights::Nothing)),
            // Docker asks for a password only if `/v2/` is refused.
            (Credentials::None, Permission::LogIn) => return Err(required()),
            (Credentials::None, Permission::Token) if !policies.allow_anonymous() => return Err(required()),
            (Credentials::None, _) => (Caller::Anonymous, None),
            (Credentials::Token(_), Permission::Token) | (Credentials::Unknown, _) => {
                return Err(Refusal::unauthorized("only a user name and a password are supported"));
            }
            (Credentials::Token(token), _) => self.redeem(policies, &token)?,
            (Credentials::Password(user, password), _) => {
                (self.log_in(policies, &user, password, network).await?, None)
            }
        };
        let rights = Rights::of(policies, caller.clone(), scopes);
        Ok((caller, rights))
    }

    /// The caller that a token was issued for, with the scopes of the token.
    fn redeem(&self, policies: &Policies, token: &str) -> Result<(Caller, Option<Scopes>), Refusal> {
        let invalid =
            || Refusal::unauthorized("the token is not valid, or has expired").fault(TokenFault::Invalid);
        let holder = self.tokens.holder(token, Instant::now()).ok_or_else(invalid)?;
        let valid = match &holder.caller {
            Caller::Anonymous => policies.allow_anonymous(),
            caller @ (Caller::User(_) | Caller::Robot(_)) => {
                holder.credential.is_some()
                    && policies.credential(caller, OffsetDateTime::now_utc()) == holder.credential
            }
        };
        if valid { Ok((holder.caller, holder.scopes)) } else { Err(invalid()) }
    }

    async fn log_in(
        &self,
        policies: &Policies,
        user: &str,
        password: Vec<u8>,
        network: Network,
    ) -> Result<Caller, Refusal> {
        let wrong = "the user name or the password is wrong";
        let Some(robot) = user.strip_prefix(Robots::PREFIX) else {
            let right = self.matches(policies.htpasswd(), user, password, network).await?;
            return if right { Ok(Caller::User(user.to_owned())) } else { Err(Refusal::unauthorized(wrong)) };
        };
        let reason = match policies.robots().log_in(robot, &password, OffsetDateTime::now_utc()) {
            Login::Accepted => return Ok(Caller::Robot(robot.to_owned())),
            Login::Wrong => wrong,
            Login::Expired => "the robot account has expired",
            Login::Revoked => "the robot account was revoked",
        };
        // This is no limit on guesses, because no one can guess a secret.
        tokio::time::sleep(WRONG).await;
        Err(Refusal::unauthorized(reason))
    }

    /// Checks the user name and password of a form, or else the headers; returns who may get a token.
    pub(in crate::server) async fn form(
        &self,
        password: Option<(&str, &str)>,
        headers: &HeaderMap,
        network: Network,
    ) -> Result<Caller, Refusal> {
        let Auth::Policies(policies) = &self.auth else { return Err(required()) };
        match password {
            Some((user, password)) => {
                self.log_in(policies, user, password.as_bytes().to_vec(), network).await
            }
            None => Ok(self.identify(policies, Permission::Token, headers, network).await?.0),
        }
    }

    /// The response to a token request. The scopes matter only if there are policies.
    pub(in crate::server) fn grant<'a>(
        &self,
        caller: &Caller,
        scopes: impl Iterator<Item = &'a str>,
    ) -> Result<Response, Refusal> {
        let Auth::Policies(policies) = &self.auth else { return self.tokens.grant(caller) };
        let scopes = Scopes::parse(scopes).ok_or_else(|| Refusal::query("scope"))?;
        let credential = policies.credential(caller, OffsetDateTime::now_utc());
        self.tokens.grant_narrow(Holder { caller: caller.clone(), scopes: Some(scopes), credential })
    }
}

fn required() -> Refusal {
    Refusal::unauthorized("a user name and a password are required")
}

#[cfg(test)]
mod tests;
