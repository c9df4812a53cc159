//! Searches and proofs show only what the log contains, whatever its index says.

use std::fs;

use audit::verify::Part;
use audit::{Filter, Index, search};

use crate::{FULL, Rig, assert_fault, bundle, entries, time};

#[test]
fn a_changed_index_is_reported_and_rebuilt() {
    let rig = Rig::new(599);
    for (sql, entry, words) in [
        ("DELETE FROM events WHERE idx = 77", 77, "missing"),
        ("UPDATE events SET actor = 'eve' WHERE idx = 78", 78, "differs"),
        ("UPDATE events SET time = '2030-01-01T00:00:00Z' WHERE idx = 599", 599, "differs"),
        ("DELETE FROM digests WHERE idx = 79", 79, "differs"),
        ("INSERT INTO digests VALUES ('sha256:00', 80)", 80, "differs"),
        ("UPDATE events SET idx = idx + 10000 WHERE idx = 599", 599, "missing"),
        ("INSERT INTO events VALUES (5000, '', 'push', 'success', NULL, '')", 5000, "not in the log"),
    ] {
        rig.sql(sql);
        let report = rig.verify();
        assert_fault(&report.faults[0], Part::Index, Some(entry), words);
        Index::rebuild(&rig.reader()).unwrap();
        rig.sound();
    }
    rig.sql("UPDATE meta SET root = zeroblob(32)");
    assert_fault(&rig.fault(), Part::Index, None, "its root for the first 600 entries differs");
    rig.append(600..601);
    let index = Index::open(&rig.reader()).unwrap();
    assert!(index.refused().unwrap().contains("another program wrote to it"));
    assert!(rig.log().join("index.refused").exists());
    rig.sound();
    for bytes in [&b"no database at all, but long enough to be looked at"[..], b""] {
        fs::write(Index::path(&rig.log()), bytes).unwrap();
        Index::open(&rig.reader()).unwrap();
        rig.sound();
    }
    fs::write(Index::path(&rig.log()), [7; 4096]).unwrap();
    assert_fault(&rig.fault(), Part::Index, None, "cannot be read");
}

#[test]
fn attack_an_edited_index_hides_nothing_from_a_search() {
    let rig = Rig::new(599);
    let all = || {
        let mut found = Vec::new();
        rig.reader().all(&mut |index, _, _| found.push(index)).unwrap();
        found
    };
    let searched = |index: &Index| {
        let mut found = Vec::new();
        let mut each = |index, _| {
            found.push(index);
            Ok(())
        };
        search::search(&rig.reader(), index, &Filter::default(), &mut each).unwrap();
        found
    };
    for sql in [
        "DELETE FROM events WHERE idx = 77",
        "DELETE FROM events",
        "DROP TABLE digests",
        "UPDATE events SET idx = idx + 10000 WHERE idx = 599",
    ] {
        assert_eq!(searched(&Index::open(&rig.reader()).unwrap()), all());
        rig.sql(sql);
        let index = Index::open(&rig.reader()).unwrap();
        assert!(index.refused().is_some(), "{sql}");
        assert_eq!(searched(&index), all(), "{sql}");
        assert!(Index::open(&rig.reader()).unwrap().refused().is_none());
    }
    // A seal of another index or an older seal of this file is rejected.
    let seal = rig.log().join("index.seal");
    let kept = fs::read(&seal).unwrap();
    rig.sql("DELETE FROM events WHERE idx = 5");
    fs::write(&seal, &kept).unwrap();
    assert_eq!(searched(&Index::open(&rig.reader()).unwrap()), all());
    // Without the key, a search reads the log and changes nothing.
    fs::rename(rig.log().join("key.pem"), rig.log().join("kept.pem")).unwrap();
    rig.sql("DELETE FROM events WHERE idx = 5");
    let before = fs::read(Index::path(&rig.log())).unwrap();
    assert_eq!(searched(&Index::open(&rig.reader()).unwrap()), all());
    assert_eq!(fs::read(Index::path(&rig.log())).unwrap(), before);
}

#[test]
fn searches_find_the_same_events_as_a_complete_read() {
    let rig = Rig::new(599);
    let reader = rig.reader();
    let mut all = Vec::new();
    assert_eq!(reader.all(&mut |index, event, _| all.push((index, event))).unwrap(), 0);
    let index = Index::open(&reader).unwrap();
    let some = |text: &str| Some(text.to_owned());
    let digest = format!("sha256:{:064x}", 42);
    let none = Filter::default;
    for (filter, min) in [
        (none(), 600),
        (Filter { actor: some("ann"), ..none() }, 100),
        (Filter { event: some("delete"), ..none() }, 50),
        (Filter { event: some("log"), ..none() }, 1),
        (Filter { digest: some(&digest), ..none() }, 1),
        (Filter { digest: some("sha256:000000"), ..none() }, 599),
        (Filter { object: some("team/app:00007"), ..none() }, 1),
        (Filter { since: Some(time(101)), until: Some(time(301)), ..none() }, 200),
        (Filter { actor: some("ann"), event: some("delete"), since: Some(time(201)), ..none() }, 10),
        (Filter { outcome: Some(audit::Ending::Failed), ..none() }, 0),
    ] {
        let expected: Vec<_> = all.iter().filter(|(_, event)| filter.wants(event)).cloned().collect();
        let find = |filter: &Filter| {
            let mut found = Vec::new();
            search::search(&reader, &index, filter, &mut |index, event| {
                found.push((index, event));
                Ok(())
            })
            .unwrap();
            found
        };
        assert_eq!(find(&filter), expected, "{filter:?}");
        assert!(expected.len() >= min, "{filter:?}: {}", expected.len());
        let newest = find(&Filter { limit: Some(3), ..filter });
        assert_eq!(newest, expected[expected.len().saturating_sub(3)..]);
    }
}

#[test]
fn a_changed_entry_is_never_shown() {
    let rig = Rig::new(599);
    rig.change(FULL, |bytes| {
        let mut list = entries(bytes);
        let text = String::from_utf8(list[44].clone()).unwrap().replace("bob", "eve").replace("ann", "eve");
        list[44] = text.into_bytes();
        *bytes = bundle(&list);
    });
    let reader = rig.reader();
    assert!(matches!(reader.event(300), Err(audit::Error::Log(tlog::Error::EntryDiffers { entry: 300 }))));
    assert!(reader.event(301).is_ok() && reader.proof(300).is_err());
    assert!(reader.all(&mut |_, _, _| {}).is_err());
}

#[test]
fn a_proof_contains_its_event() {
    let rig = Rig::new(599);
    let reader = rig.reader();
    for index in [0, 1, 255, 256, 511, 512, 599] {
        let text = reader.proof(index).unwrap().to_string();
        let proof = tlog::Proof::parse(&text).unwrap();
        let entry = proof.extra.clone().unwrap();
        proof.verify(&entry, rig.trust().policy()).unwrap();
        assert_eq!(audit::Event::parse(&entry).unwrap(), reader.event(index).unwrap());
    }
    assert!(matches!(reader.proof(600), Err(audit::Error::Log(tlog::Error::NoEntry { .. }))));
}
