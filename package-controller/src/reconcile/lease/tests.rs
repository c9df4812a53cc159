//! Takeovers, and several replicas on one lease with a server that loses requests and responses.

use proptest::prelude::*;

use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn date() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn lease(holder: &str, version: &str) -> Lease {
    let mut lease = Election::new(holder.to_owned(), LEASE_TIMING).first(date());
    lease.metadata.resource_version = Some(version.to_owned());
    lease
}

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().unwrap().holder_identity.as_deref().unwrap()
}

#[test]
fn the_first_replica_creates_the_lease_and_is_the_leader_until_renewals_fail() {
    let mut election = Election::new("a".to_owned(), LEASE_TIMING);
    let LeaseAction::Create(created) = election.decide(None, at(0), date()) else { panic!() };
    assert!(!election.leads(at(0)), "not before it is written");
    election.written(Ok(&created), at(0));
    assert!(election.leads(at(6)) && !election.leads(at(7)));
    election.written(Err(()), at(6));
    assert!(!election.leads(at(7)), "a failed renewal does not count");
    election.written(Ok(&created), at(6));
    assert!(election.leads(at(12)));
}

#[test]
fn a_lease_is_taken_over_after_it_was_unchanged_for_its_duration() {
    let mut election = Election::new("b".to_owned(), LEASE_TIMING);
    assert_eq!(election.decide(Some(&lease("a", "1")), at(100), date()), LeaseAction::Wait);
    assert_eq!(election.decide(Some(&lease("a", "1")), at(109), date()), LeaseAction::Wait);
    // A renewal restarts the time, regardless of its date.
    assert_eq!(election.decide(Some(&lease("a", "2")), at(110), date()), LeaseAction::Wait);
    assert_eq!(election.decide(Some(&lease("a", "2")), at(119), date()), LeaseAction::Wait);
    let LeaseAction::Write(taken) = election.decide(Some(&lease("a", "2")), at(120), date()) else {
        panic!()
    };
    assert_eq!((holder(&taken), taken.metadata.resource_version.as_deref()), ("b", Some("2")));
    assert_eq!(taken.spec.unwrap().lease_transitions, Some(2));
}

#[test]
fn a_released_lease_is_taken_at_once() {
    let mut first = Election::new("a".to_owned(), LEASE_TIMING);
    first.written(Ok(&lease("a", "1")), at(0));
    let released = first.released(&lease("a", "1"), date()).unwrap();
    assert!(!first.leads(at(0)));
    assert_eq!(first.released(&lease("b", "1"), date()), None, "the lease of another replica is not changed");
    let mut second = Election::new("b".to_owned(), LEASE_TIMING);
    assert!(matches!(second.decide(Some(&released), at(50), date()), LeaseAction::Write(_)));
}

#[test]
fn a_leader_that_sees_another_leader_stops_at_once() {
    let mut election = Election::new("a".to_owned(), LEASE_TIMING);
    election.written(Ok(&lease("a", "1")), at(0));
    assert_eq!(election.decide(Some(&lease("b", "2")), at(1), date()), LeaseAction::Wait);
    assert!(!election.leads(at(1)));
}

#[test]
fn a_longer_duration_of_the_holder_applies() {
    let mut other = lease("a", "1");
    other.spec.as_mut().unwrap().lease_duration_seconds = Some(60);
    let mut election = Election::new("b".to_owned(), LEASE_TIMING);
    assert_eq!(election.decide(Some(&other), at(0), date()), LeaseAction::Wait);
    assert_eq!(election.decide(Some(&other), at(59), date()), LeaseAction::Wait);
    assert!(matches!(election.decide(Some(&other), at(60), date()), LeaseAction::Write(_)));
}

/// The result of one replica's turn.
#[derive(Clone, Copy, Debug)]
enum TurnOutcome {
    Works,
    /// The request is lost.
    Lost,
    /// The server processes the request, and the response is lost.
    Unanswered,
    /// The replica is not running.
    Down,
}

fn turn_outcome() -> impl Strategy<Value = TurnOutcome> {
    prop_oneof![5 => Just(TurnOutcome::Works), 1 => Just(TurnOutcome::Lost), 1 => Just(TurnOutcome::Unanswered), 1 => Just(TurnOutcome::Down)]
}

proptest! {
    /// Each replica's clock starts at another time, each turn takes a second, and writes with an old version are rejected.
    #[test]
    fn there_are_never_two_leaders_and_eventually_there_is_one(
        turns in prop::collection::vec(prop::array::uniform3(turn_outcome()), 1..80),
        starts in prop::array::uniform3(0_u64..1000),
    ) {
        let mut replicas = ["a", "b", "c"].map(|name| Election::new(name.to_owned(), LEASE_TIMING));
        let mut server: Option<Lease> = None;
        let mut version = 0_u64;
        let quiet = turns.len();
        let turns = turns.into_iter().chain(std::iter::repeat_n([TurnOutcome::Works; 3], 30));
        for (second, fates) in turns.enumerate() {
            for (index, turn_outcome) in fates.into_iter().enumerate() {
                let now = at(starts[index] + second as u64);
                if matches!(turn_outcome, TurnOutcome::Down) || second % 2 != index % 2 {
                    continue;
                }
                let written = match replicas[index].decide(server.as_ref(), now, date()) {
                    LeaseAction::Wait => continue,
                    LeaseAction::Create(lease) | LeaseAction::Write(lease) => lease,
                };
                if matches!(turn_outcome, TurnOutcome::Lost) {
                    replicas[index].written(Err(()), now);
                    continue;
                }
                version += 1;
                let mut written = written;
                written.metadata.resource_version = Some(version.to_string());
                server = Some(written.clone());
                let answer = if matches!(turn_outcome, TurnOutcome::Unanswered) { Err(()) } else { Ok(&written) };
                replicas[index].written(answer, now);
            }
            let leaders = replicas.iter().enumerate().filter(|(index, replica)| replica.leads(at(starts[*index] + second as u64)));
            let leaders = leaders.count();
            prop_assert!(leaders <= 1, "{leaders} leaders in second {second}");
            if second >= quiet + 14 {
                prop_assert_eq!(leaders, 1, "no leader in second {}", second);
            }
        }
    }
}
