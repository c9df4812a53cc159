//! Reports refusals to the observer: the first refusals of a client one by one, the rest counted, so that no client can fill
//! the log or the memory.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::guard::address::Network;
use super::observe::{Observer, Operation, Refused, Repeats, Visitor};

/// The maximum number of single reports for one client and operation, in one window.
const EACH: u32 = 3;
/// The maximum number of single reports for all clients, in one window.
const ALL: u32 = 60;
/// The maximum number of clients that are counted separately; the rest are counted together.
const CLIENTS: usize = 1024;
/// The maximum number of counts that are reported separately in one round; the rest are combined.
const COUNTS: usize = 16;
/// How long refusals are counted before they are reported. The window of a client that continues grows.
const WINDOW: Duration = Duration::from_mins(1);
/// The maximum window.
const LONGEST: Duration = Duration::from_hours(1);

/// Longer names and reasons are truncated, because counts are kept for a while.
const LONGEST_TEXT: usize = 256;

/// The name in the report for clients that are counted together.
const MANY: &str = "several clients";

/// Counts and reports refusals.
pub(super) struct Refusals {
    observer: Option<Arc<dyn Observer>>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    clients: HashMap<(Option<Network>, Operation), Count>,
    others: Option<Refused>,
    /// When the current window for all clients began, and the number of single reports in it.
    all: Option<(Instant, u32)>,
}

struct Count {
    begun: Instant,
    window: Duration,
    reported: u32,
    more: Option<Refused>,
}

impl Refusals {
    pub(super) fn new(observer: Option<Arc<dyn Observer>>) -> Self {
        Self { observer, counts: Mutex::default() }
    }

    /// Counts a refusal; returns it if it must be reported immediately.
    pub(super) fn take(&self, mut attempt: Refused, now: Instant) -> Option<Refused> {
        cut(&mut attempt.name);
        cut(&mut attempt.message);
        if let Some(user) = &mut attempt.visitor.user {
            cut(user);
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (attempt.visitor.address.map(|address| Network::of(address.ip())), attempt.operation);
        if !counts.clients.contains_key(&key) && counts.clients.len() >= CLIENTS {
            more(&mut counts.others, attempt);
            return None;
        }
        let may_report = counts.may_report(now);
        let fresh = || Count { begun: now, window: WINDOW, reported: 0, more: None };
        let count = counts.clients.entry(key).or_insert_with(fresh);
        if count.reported >= EACH || !may_report {
            more(&mut count.more, attempt);
            return None;
        }
        count.reported += 1;
        if let Some((_, reported)) = &mut counts.all {
            *reported += 1;
        }
        Some(attempt)
    }

    /// Reports a refusal, in the program's log and to the observer.
    pub(super) fn report(&self, attempt: &Refused) {
        let Refused { operation, name, visitor, status, message, repeats } = attempt;
        let (address, user) = (visitor.address.map(|address| address.ip()), visitor.user.as_deref());
        let count = repeats.map_or(1, |repeats| repeats.count);
        tracing::warn!(?operation, name, ?address, user, status, count, message, "a request was refused");
        if let Some(observer) = &self.observer
            && let Err(error) = observer.refused(attempt)
        {
            tracing::error!(%error, "cannot log a refusal");
        }
    }

    /// Reports the counts whose windows have ended.
    pub(super) fn report_due(&self) {
        self.due(Instant::now(), false).iter().for_each(|attempt| self.report(attempt));
    }

    /// Reports all counts.
    pub(super) fn report_all(&self) {
        self.due(Instant::now(), true).iter().for_each(|attempt| self.report(attempt));
    }

    fn due(&self, now: Instant, all: bool) -> Vec<Refused> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        counts.clients.retain(|_, count| {
            if !all && now.saturating_duration_since(count.begun) < count.window {
                return true;
            }
            let Some(more) = count.more.take() else { return false };
            due.push(more);
            *count =
                Count { begun: now, window: (count.window * 2).min(LONGEST), reported: EACH, more: None };
            true
        });
        // The largest counts are reported separately.
        due.sort_by_key(|reported| std::cmp::Reverse(reported.repeats.map(|repeats| repeats.count)));
        let mut others = counts.others.take();
        for rest in due.split_off(due.len().min(COUNTS)) {
            more(&mut others, rest);
        }
        due.extend(others);
        due
    }
}

impl Counts {
    fn may_report(&mut self, now: Instant) -> bool {
        let (begun, reported) = self.all.get_or_insert((now, 0));
        if now.saturating_duration_since(*begun) >= WINDOW {
            (*begun, *reported) = (now, 0);
        }
        *reported < ALL
    }
}

fn cut(text: &mut String) {
    if let Some((at, _)) =
        text.char_indices().find(|(at, character)| at + character.len_utf8() > LONGEST_TEXT)
    {
        text.truncate(at);
    }
}

/// Adds a refusal, or the number of refusals that it stands for.
fn more(counted: &mut Option<Refused>, attempt: Refused) {
    let now = SystemTime::now();
    let new = attempt.repeats.unwrap_or(Repeats { count: 1, first: now, last: now });
    let Some(known) = counted else {
        *counted = Some(Refused { repeats: Some(new), ..attempt });
        return;
    };
    if known.visitor.user != attempt.visitor.user {
        known.visitor.user = None;
    }
    let ip = |visitor: &Visitor| visitor.address.map(|address: SocketAddr| Network::of(address.ip()));
    if ip(&known.visitor) != ip(&attempt.visitor) && known.visitor.address.take().is_some() {
        MANY.clone_into(&mut known.name);
    }
    let old = known.repeats.unwrap_or(new);
    let count = old.count.saturating_add(new.count);
    known.repeats = Some(Repeats { count, first: old.first.min(new.first), last: old.last.max(new.last) });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: [u8; 4], user: &str) -> Refused {
        let visitor = Visitor { user: Some(user.to_owned()), address: Some((address, 1).into()) };
        let (name, message) = ("/v2/".to_owned(), "wrong".to_owned());
        Refused { operation: Operation::LogIn, name, visitor, status: 401, message, repeats: None }
    }

    #[test]
    fn a6_a_flood_of_refusals_gives_few_events_with_count_first_and_last() {
        let refusals = Refusals::new(None);
        let begun = Instant::now();
        let mut events = 0;
        let mut counted = 0;
        for second in 0..3600_u64 {
            let now = begun + Duration::from_secs(second);
            for _ in 0..100 {
                events += u64::from(refusals.take(refused([192, 0, 2, 1], "ann"), now).is_some());
            }
            for reported in refusals.due(now, false) {
                events += 1;
                let repeats = reported.repeats.unwrap();
                assert!(repeats.first <= repeats.last && reported.visitor.address.is_some());
                counted += repeats.count;
            }
        }
        let rest = refusals.due(begun + Duration::from_hours(1), true);
        counted += rest.iter().map(|reported| reported.repeats.unwrap().count).sum::<u64>();
        assert_eq!(counted + u64::from(EACH), 360_000, "each is reported or counted");
        assert!(events <= 12, "{events} events in an hour");
    }

    #[test]
    fn a6_many_clients_do_not_fill_the_log_or_the_memory() {
        let refusals = Refusals::new(None);
        let now = Instant::now();
        let mut reported = 0;
        for at in 0..100_000_u32 {
            let [_, b, c, d] = at.to_be_bytes();
            reported += u32::from(refusals.take(refused([10, b, c, d], &at.to_string()), now).is_some());
        }
        assert!(reported <= ALL, "{reported}");
        let long = refused([192, 0, 2, 9], &"x".repeat(100_000));
        assert!(refusals.take(long, now).is_none());
        let counts = refusals.counts.lock().unwrap();
        assert!(counts.clients.len() <= CLIENTS);
        let kept = counts.clients.values().filter_map(|count| count.more.as_ref()).chain(&counts.others);
        assert!(kept.map(|kept| kept.name.len() + kept.message.len()).sum::<usize>() <= 1024 * CLIENTS);
        drop(counts);
        let due = refusals.due(now + WINDOW, false);
        assert!(due.len() <= COUNTS + 1, "{}", due.len());
        let counted: u64 = due.iter().map(|reported| reported.repeats.unwrap().count).sum();
        assert_eq!(counted + u64::from(reported), 100_001);
        assert_eq!((due.last().unwrap().visitor.address, due.last().unwrap().name.as_str()), (None, MANY));
    }

    #[test]
    fn occasional_refusals_are_reported_one_by_one() {
        let refusals = Refusals::new(None);
        let begun = Instant::now();
        for minute in 0..100 {
            let now = begun + Duration::from_secs(minute * 60);
            assert!(refusals.due(now, false).is_empty());
            assert!(refusals.take(refused([192, 0, 2, 1], "ann"), now).is_some(), "{minute}");
        }
    }
}
