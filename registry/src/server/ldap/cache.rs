//! Recent successful logins, so that not every request asks the directory. Failures are not kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use oci::Digest;

use super::super::access::ExternalUser;

/// How long a login is kept.
const FRESH: Duration = Duration::from_mins(1);
/// The maximum number of logins.
const MOST: usize = 1024;

#[derive(Default)]
pub(super) struct Cache {
    /// What names and passwords are hashed with, so that a hash cannot be computed in advance.
    salt: [u8; 32],
    /// In order of time.
    known: Mutex<VecDeque<(Digest, Arc<ExternalUser>, Instant)>>,
}

impl Cache {
    pub(super) fn new(salt: [u8; 32]) -> Self {
        Self { salt, known: Mutex::default() }
    }

    /// What identifies a name with a password.
    pub(super) fn key(&self, user: &str, password: &[u8]) -> Digest {
        let length = user.len().to_be_bytes();
        Digest::sha256(&[&self.salt, &length[..], user.as_bytes(), password].concat())
    }

    pub(super) fn get(&self, key: &Digest, now: Instant) -> Option<Arc<ExternalUser>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        while known.front().is_some_and(|(_, _, since)| now.saturating_duration_since(*since) >= FRESH) {
            known.pop_front();
        }
        known.iter().find(|(found, ..)| found == key).map(|(_, user, _)| Arc::clone(user))
    }

    pub(super) fn add(&self, key: Digest, user: Arc<ExternalUser>, now: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == MOST {
            known.pop_front();
        }
        known.push_back((key, user, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Arc<ExternalUser> {
        Arc::new(ExternalUser {
            name: name.to_owned(),
            groups: [].into(),
            source: Digest::sha256(b"source"),
            certificate: None,
            until: None,
        })
    }

    #[test]
    fn a_login_is_known_for_a_minute_with_the_same_name_and_password() {
        let cache = Cache::new([1; 32]);
        let now = Instant::now();
        cache.add(cache.key("ann", b"secret"), user("ann"), now);
        let knows = |name, password: &[u8], after| {
            cache.get(&cache.key(name, password), now + Duration::from_secs(after)).is_some()
        };
        assert!(knows("ann", b"secret", 0) && knows("ann", b"secret", 59));
        assert!(!knows("ann", b"wrong", 0) && !knows("anns", b"ecret", 0) && !knows("Ann", b"secret", 0));
        assert_ne!(cache.key("ann", b"secret"), Cache::new([2; 32]).key("ann", b"secret"));
        assert!(!knows("ann", b"secret", 60) && !knows("ann", b"secret", 0), "it is forgotten");
    }

    #[test]
    fn the_number_of_logins_is_limited() {
        let (cache, now) = (Cache::default(), Instant::now());
        for number in 0..=MOST {
            cache.add(cache.key(&number.to_string(), b""), user("ann"), now);
        }
        let knows = |number: usize| cache.get(&cache.key(&number.to_string(), b""), now).is_some();
        assert!(!knows(0) && knows(1) && knows(MOST));
    }
}
