//! The check of a request against its caller's rights, before the store is asked.

use oci::RepositoryName;

use super::super::auth;
use super::super::handle::Call;
use super::super::refusal::{Refusal, TokenFault};
use super::super::route::Action;
use super::config::Allow;
use super::rights::Verdict;

/// Refuses an action that the caller may not do. The answer is the same whether or not the repository exists.
pub(in crate::server) fn check(call: &Call, action: &Action) -> Result<(), Refusal> {
    let (verdict, denied) = match action.needs() {
        None if *action == Action::Catalog => (call.rights.judge_catalog(), None),
        None => return Ok(()),
        Some((repository, Allow::Pull)) => {
            let candidates = call.named(repository);
            let mut names: Vec<&RepositoryName> = candidates.iter().map(|named| &named.repository).collect();
            if names.is_empty() {
                names.push(repository);
            }
            (call.rights.judge(repository, names, Allow::Pull), Some((repository, Allow::Pull)))
        }
        Some((repository, action)) => {
            (call.rights.judge(repository, [repository], action), Some((repository, action)))
        }
    };
    let insufficient = |refusal: Refusal| {
        // Clients with a token learn that another one could do it, and ask for it once.
        if auth::has_token(&call.head.headers) { refusal.fault(TokenFault::Scope) } else { refusal }
    };
    match (verdict, denied) {
        (Verdict::Allowed, _) => Ok(()),
        (Verdict::Denied, Some((repository, action))) if call.rights.are_of_a_known_caller() => {
            Err(Refusal::denied(repository, action))
        }
        (Verdict::Denied, _) => {
            Err(insufficient(Refusal::unauthorized("a user name and a password are required")))
        }
        (Verdict::OutOfScope, _) => {
            Err(insufficient(Refusal::unauthorized("the scope of the token does not include this action")))
        }
    }
}
