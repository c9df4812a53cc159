//! Who a limit applies to.

use std::sync::Arc;

use super::address::Network;

/// A client, or a group of clients. A client is a user at an address: users behind one address do not delay each other, and
/// neither do the addresses of one account. Nobody gains much from many accounts or many addresses, because these are groups.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::server) enum Party {
    /// A user at an address; `None` without credentials.
    Client(Option<Arc<str>>, Network),
    /// A user at all addresses.
    User(Arc<str>),
    /// All users at an address.
    Address(Network),
}

impl Party {
    /// The client, and the groups that it belongs to.
    pub(in crate::server) fn all(user: Option<&str>, network: Network) -> Vec<Self> {
        let user: Option<Arc<str>> = user.map(Arc::from);
        let group = user.clone().map(Self::User);
        [Self::Client(user, network), Self::Address(network)].into_iter().chain(group).collect()
    }
}
