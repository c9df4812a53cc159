//! Power cuts while the audit log and its index are written.

use audit::{Index, LogTrust, Outcome, Reader};

use crate::rig::{Rig, event, expect, journal, sound};
use crate::tally::{Repaired, Violation, end};

#[test]
fn c1_g_a_power_cut_at_any_point_of_an_append_loses_nothing_and_is_not_reported_as_tampering() {
    let mut counts = Vec::new();
    // Within a bundle, around a full bundle, and at the first tile of the next level.
    for count in [3, 254, 255, 511] {
        let Some(rig) = Rig::new() else { return };
        let log = rig.work().join("log");
        let writer = journal(&log);
        let success = Outcome::success();
        let events = (0..count).map(|number| (event(number), &success)).collect();
        writer.record_at(time::OffsetDateTime::UNIX_EPOCH, events).unwrap();
        drop(writer);
        let size = sound(&log).unwrap();
        let name = format!("append to {size} entries");
        counts.push(rig.cut(&name, &["keys", "generate", "k", "--audit-log", "log"], &|state| {
            let log = state.folder.join("log");
            let found = sound(&log)?;
            expect(found >= size + u64::from(state.ended), || Violation::Loss(format!("{found} of {size}")))?;
            let reader = Reader::open(&log, LogTrust::own(&log).unwrap()).unwrap();
            let unread = reader.all(&mut |_, _, _| {}).unwrap();
            expect(unread == 0, || Violation::Loss(format!("{unread} entries cannot be read")))?;
            journal(&log).record(event(0), &Outcome::success()).unwrap();
            expect(sound(&log)? > size, || Violation::Loss("an entry after the cut".to_owned()))?;
            Ok(Repaired::Again)
        }));
    }
    end(counts);
}

#[test]
fn c4_g_a_power_cut_at_any_point_of_an_index_update_is_not_reported_as_tampering() {
    let mut counts = Vec::new();
    for is_new in [true, false] {
        let Some(rig) = Rig::new() else { return };
        let log = rig.work().join("log");
        let writer = journal(&log);
        let reader = || Reader::open(&log, LogTrust::own(&log).unwrap()).unwrap();
        if !is_new {
            Index::open(&reader()).unwrap();
        }
        for number in 0..40 {
            writer.record(event(number), &Outcome::success()).unwrap();
        }
        let name = if is_new { "a new index" } else { "index update" };
        counts.push(rig.cut(name, &["audit", "log", "--audit-log", "log"], &|state| {
            let log = state.folder.join("log");
            sound(&log)?;
            let listed =
                rig.airlock(state.folder, &["audit", "log", "--audit-log", "log", "--output", "json"]);
            let said = String::from_utf8_lossy(&listed.stderr).into_owned();
            // A different inode number or time means that a file was copied. Every file was copied here, so only damage counts.
            let fine = listed.status.success() && !said.contains("it is damaged");
            expect(fine, || Violation::Alarm(said))?;
            let found: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap();
            expect(found.len() == 41, || Violation::Loss(format!("{} of 41 events", found.len())))?;
            sound(&log)?;
            Ok(Repaired::Again)
        }));
    }
    end(counts);
}
