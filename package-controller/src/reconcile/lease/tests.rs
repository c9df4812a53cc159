//! Takeovers, and many replicas on one lease with a server that loses requests and answers.

use proptest::prelude::*;

use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn date() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn lease(holder: &str, version: &str) -> Lease {
    let mut lease = Election::new(holder.to_owned(), TERMS).first(date());
    lease.metadata.resource_version = Some(version.to_owned());
    lease
}

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().unwrap().holder_identity.as_deref().unwrap()
}

#[test]
fn the_first_replica_makes_the_lease_and_leads_until_renewals_fail() {
    let mut election = Election::new("a".to_owned(), TERMS);
    let Move::Create(made) = election.decide(None, at(0), date()) else { panic!() };
    assert!(!election.leads(at(0)), "not before it is written");
    election.written(Ok(&made), at(0));
    assert!(election.leads(at(6)) && !election.leads(at(7)));
    election.written(Err(()), at(6));
    assert!(!election.leads(at(7)), "a renewal that failed is none");
    election.written(Ok(&made), at(6));
    assert!(election.leads(at(12)));
}

#[test]
fn a_lease_is_taken_over_when_it_was_seen_unchanged_for_its_duration() {
    let mut election = Election::new("b".to_owned(), TERMS);
    assert_eq!(election.decide(Some(&lease("a", "1")), at(100), date()), Move::Wait);
    assert_eq!(election.decide(Some(&lease("a", "1")), at(109), date()), Move::Wait);
    // A renewal begins the time anew, whatever its date says.
    assert_eq!(election.decide(Some(&lease("a", "2")), at(110), date()), Move::Wait);
    assert_eq!(election.decide(Some(&lease("a", "2")), at(119), date()), Move::Wait);
    let Move::Write(taken) = election.decide(Some(&lease("a", "2")), at(120), date()) else { panic!() };
    assert_eq!((holder(&taken), taken.metadata.resource_version.as_deref()), ("b", Some("2")));
    assert_eq!(taken.spec.unwrap().lease_transitions, Some(2));
}

#[test]
fn a_lease_that_was_given_up_is_taken_at_once() {
    let mut first = Election::new("a".to_owned(), TERMS);
    first.written(Ok(&lease("a", "1")), at(0));
    let given = first.given_up(&lease("a", "1"), date()).unwrap();
    assert!(!first.leads(at(0)));
    assert_eq!(first.given_up(&lease("b", "1"), date()), None, "another's is not touched");
    let mut second = Election::new("b".to_owned(), TERMS);
    assert!(matches!(second.decide(Some(&given), at(50), date()), Move::Write(_)));
}

#[test]
fn a_leader_that_sees_another_in_its_place_stops_at_once() {
    let mut election = Election::new("a".to_owned(), TERMS);
    election.written(Ok(&lease("a", "1")), at(0));
    assert_eq!(election.decide(Some(&lease("b", "2")), at(1), date()), Move::Wait);
    assert!(!election.leads(at(1)));
}

#[test]
fn a_longer_duration_of_the_holder_holds() {
    let mut other = lease("a", "1");
    other.spec.as_mut().unwrap().lease_duration_seconds = Some(60);
    let mut election = Election::new("b".to_owned(), TERMS);
    assert_eq!(election.decide(Some(&other), at(0), date()), Move::Wait);
    assert_eq!(election.decide(Some(&other), at(59), date()), Move::Wait);
    assert!(matches!(election.decide(Some(&other), at(60), date()), Move::Write(_)));
}

/// What becomes of one replica's turn.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Works,
    /// The server never gets the write.
    Lost,
    /// The server does it, and the answer is lost.
    Unanswered,
    /// The replica is not there.
    Down,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![5 => Just(Fate::Works), 1 => Just(Fate::Lost), 1 => Just(Fate::Unanswered), 1 => Just(Fate::Down)]
}

proptest! {
    /// Each replica's clock begins elsewhere; each turn takes a second; writes with an old version are refused.
    #[test]
    fn there_are_never_two_leaders_and_soon_there_is_one(
        turns in prop::collection::vec(prop::array::uniform3(fate()), 1..80),
        starts in prop::array::uniform3(0_u64..1000),
    ) {
        let mut replicas = ["a", "b", "c"].map(|name| Election::new(name.to_owned(), TERMS));
        let mut server: Option<Lease> = None;
        let mut version = 0_u64;
        let quiet = turns.len();
        let turns = turns.into_iter().chain(std::iter::repeat_n([Fate::Works; 3], 30));
        for (second, fates) in turns.enumerate() {
            for (index, fate) in fates.into_iter().enumerate() {
                let now = at(starts[index] + second as u64);
                if matches!(fate, Fate::Down) || second % 2 != index % 2 {
                    continue;
                }
                let written = match replicas[index].decide(server.as_ref(), now, date()) {
                    Move::Wait => continue,
                    Move::Create(lease) | Move::Write(lease) => lease,
                };
                if matches!(fate, Fate::Lost) {
                    replicas[index].written(Err(()), now);
                    continue;
                }
                version += 1;
                let mut written = written;
                written.metadata.resource_version = Some(version.to_string());
                server = Some(written.clone());
                let answer = if matches!(fate, Fate::Unanswered) { Err(()) } else { Ok(&written) };
                replicas[index].written(answer, now);
            }
            let leaders = replicas.iter().enumerate().filter(|(index, replica)| replica.leads(at(starts[*index] + second as u64)));
            let leaders = leaders.count();
            prop_assert!(leaders <= 1, "{leaders} leaders in second {second}");
            if second >= quiet + 14 {
                prop_assert_eq!(leaders, 1, "nobody leads in second {}", second);
            }
        }
    }
}
