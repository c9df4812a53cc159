//! Who the caller of a request is, if policies decide what it may do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::Response;
use time::OffsetDateTime;

use super::super::access::{ExternalUser, Login, Policies, Rights, Robots, Scopes};
use super::super::guard::address::Network;
use super::super::ldap::{self, LdapDirectory};
use super::super::oidc::{self, Fault};
use super::super::refusal::{Refusal, TokenFault};
use super::super::route::Permission;
use super::super::tokens::Holder;
use super::{Auth, Authenticator, Caller, Credentials, FULL, Presented, credentials};

/// The delay of the refusal of a wrong secret. A wrong password takes its time anyway.
const WRONG: Duration = Duration::from_millis(100);

const MISMATCH: &str = "the user name or the password is wrong";

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
        presented: Presented<'_>,
    ) -> Result<(Caller, Rights), Refusal> {
        let (caller, scopes) = match (credentials(presented.headers), permission) {
            (_, Permission::None) => return Ok((Caller::Anonymous, Rights::Nothing)),
            (Credentials::None, _) => (unnamed(policies, permission, presented)?, None),
            (Credentials::Token(token), _) if is_issued(policies, &token) => (
                of_token(policies, &token).await.map_err(|refusal| refusal.fault(TokenFault::Invalid))?,
                None,
            ),
            (Credentials::Token(_), Permission::Token) | (Credentials::Unknown, _) => {
                return Err(Refusal::unauthorized("only a user name and a password are supported"));
            }
            (Credentials::Token(token), _) => self.redeem(policies, &token, presented)?,
            (Credentials::Password(user, password), _) => {
                (self.log_in(policies, &user, password, presented.network).await?, None)
            }
        };
        let rights = Rights::of(policies, caller.clone(), scopes);
        Ok((caller, rights))
    }

    /// The caller that a token was issued for, with the scopes of the token.
    fn redeem(
        &self,
        policies: &Policies,
        token: &str,
        presented: Presented<'_>,
    ) -> Result<(Caller, Option<Scopes>), Refusal> {
        let invalid =
            || Refusal::unauthorized("the token is not valid, or has expired").fault(TokenFault::Invalid);
        let holder = self.tokens.holder(token, Instant::now()).ok_or_else(invalid)?;
        let valid = match &holder.caller {
            Caller::Anonymous => policies.allow_anonymous(),
            caller @ (Caller::User(_) | Caller::Robot(_) | Caller::External(_)) => {
                holder.credential.is_some()
                    && policies.credential(caller, OffsetDateTime::now_utc()) == holder.credential
                    && shows_certificate(policies, caller, presented)
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
        let Some(robot) = user.strip_prefix(Robots::PREFIX) else {
            // Programs that can only send passwords send a token with any user name.
            if let Some(token) = str::from_utf8(&password).ok().filter(|text| is_issued(policies, text)) {
                return of_token(policies, token).await;
            }
            if let Some(directory) = policies.ldap().filter(|_| !policies.htpasswd().has(user)) {
                return self.of_directory(directory, user, password, network).await;
            }
            let right = self.matches(policies.htpasswd(), user, password, network).await?;
            return if right {
                Ok(Caller::User(user.to_owned()))
            } else {
                Err(Refusal::unauthorized(MISMATCH))
            };
        };
        let reason = match policies.robots().log_in(robot, &password, OffsetDateTime::now_utc()) {
            Login::Accepted => return Ok(Caller::Robot(robot.to_owned())),
            Login::Wrong => MISMATCH,
            Login::Expired => "the robot account has expired",
            Login::Revoked => "the robot account was revoked",
        };
        // This is no limit on guesses, because no one can guess a secret.
        tokio::time::sleep(WRONG).await;
        Err(Refusal::unauthorized(reason))
    }

    /// The user of the directory with this name and password. A wrong password counts as a guess.
    async fn of_directory(
        &self,
        directory: &Arc<LdapDirectory>,
        user: &str,
        password: Vec<u8>,
        network: Network,
    ) -> Result<Caller, Refusal> {
        if let Some(known) = directory.known(user, &password) {
            return Ok(Caller::External(known));
        }
        let result = if self.guesses.count(network, Instant::now()) {
            directory.identify(user, password, network).await
        } else {
            Err(ldap::Fault::Busy)
        };
        match result {
            Ok(known) => {
                self.guesses.give_back(network);
                Ok(Caller::External(known))
            }
            Err(ldap::Fault::Wrong) => Err(Refusal::unauthorized(MISMATCH)),
            Err(ldap::Fault::Busy) => {
                tokio::time::sleep(FULL).await;
                Err(Refusal::too_many(
                    "too many passwords of this client were wrong or are waiting to be checked",
                ))
            }
            Err(ldap::Fault::Unavailable) => {
                self.guesses.give_back(network);
                Err(Refusal::unidentified("the LDAP server cannot check the password"))
            }
        }
    }

    /// Checks the user name and password of a form, or else the headers; returns who may get a token.
    pub(in crate::server) async fn form(
        &self,
        password: Option<(&str, &str)>,
        presented: Presented<'_>,
    ) -> Result<Caller, Refusal> {
        let Auth::Policies(policies) = &self.auth else { return Err(required()) };
        match password {
            Some((user, password)) => {
                self.log_in(policies, user, password.as_bytes().to_vec(), presented.network).await
            }
            None => Ok(self.identify(policies, Permission::Token, presented).await?.0),
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

/// The caller of a request without a password and a token: the user of the client certificate, or else anonymous.
fn unnamed(policies: &Policies, permission: Permission, presented: Presented<'_>) -> Result<Caller, Refusal> {
    if let Some(identity) = of_certificate(policies, presented) {
        return Ok(Caller::External(Arc::new(identity)));
    }
    match permission {
        // Docker asks for a password only if `/v2/` is refused.
        Permission::LogIn => {}
        Permission::Token if !policies.allow_anonymous() => {}
        _ => return Ok(Caller::Anonymous),
    }
    Err(if presented.certificate.is_some() {
        Refusal::unauthorized(
            "the client certificate identifies no user; a user name and a password are required",
        )
    } else {
        required()
    })
}

/// Whether a text is a token of an issuer, and not of this registry.
fn is_issued(policies: &Policies, text: &str) -> bool {
    !policies.oidc().is_empty() && oidc::is_token(text)
}

/// The user of a token of an issuer.
async fn of_token(policies: &Policies, token: &str) -> Result<Caller, Refusal> {
    match oidc::identify(policies.oidc(), token, OffsetDateTime::now_utc()).await {
        Ok(identity) => Ok(Caller::External(Arc::new(identity))),
        Err(fault @ Fault::Unavailable) => Err(Refusal::unidentified(fault.reason())),
        Err(fault) => Err(Refusal::unauthorized(fault.reason())),
    }
}

/// The user that the client certificate identifies.
fn of_certificate(policies: &Policies, presented: Presented<'_>) -> Option<ExternalUser> {
    policies.certificates()?.identify(presented.certificate?, OffsetDateTime::now_utc())
}

/// Whether the caller shows the certificate that its token was issued for, if there is one.
fn shows_certificate(policies: &Policies, caller: &Caller, presented: Presented<'_>) -> bool {
    match caller {
        Caller::External(identity) if identity.certificate.is_some() => {
            of_certificate(policies, presented).is_some_and(|shown| shown == **identity)
        }
        _ => true,
    }
}

fn required() -> Refusal {
    Refusal::unauthorized("a user name and a password are required")
}

#[cfg(test)]
mod tests;
