use std::time::Instant;

use time::Duration;

use super::*;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn new(name: &str) -> NewRobot {
    NewRobot { name: name.to_owned(), ..NewRobot::default() }
}

fn create(robots: &Robots, new: NewRobot, random: u8) -> (Robots, String) {
    robots.create(new, NOW, &[random; Robots::RANDOM]).unwrap()
}

#[test]
fn a_secret_logs_in_its_robot_alone() {
    let (robots, ci) = create(&Robots::default(), new("ci"), 1);
    let (robots, other) = create(&robots, new("other"), 2);
    assert!(ci.starts_with("airlock_") && ci.len() == 8 + 43, "{ci}");
    assert_eq!(robots.log_in("ci", ci.as_bytes(), NOW), Login::Accepted);
    assert_eq!(robots.log_in("other", other.as_bytes(), NOW), Login::Accepted);
    for (name, secret) in [("ci", other.as_str()), ("ci", ""), ("ci", &ci[..50]), ("no", &ci), ("", "")] {
        assert_eq!(robots.log_in(name, secret.as_bytes(), NOW), Login::Wrong, "{name} {secret}");
    }
    let text = robots.to_text().unwrap();
    assert!(!text.contains(&ci) && !format!("{robots:?}").contains("sha256"), "{robots:?}");
    let (again, _) = create(&Robots::default(), new("ci"), 1);
    assert_ne!(create(&Robots::default(), new("ci"), 3).0, again, "the salt and the secret are random");
}

#[test]
fn the_empty_secret_of_an_unknown_robot_is_refused() {
    // The salt and hash of an unknown robot are public.
    let robots = Robots::default();
    assert_eq!(robots.log_in("x", b"", NOW), Login::Wrong);
}

#[test]
fn a_robot_that_expired_or_was_revoked_is_told_so_only_with_its_secret() {
    let expires = Some(NOW + Duration::days(90));
    let (robots, secret) = create(&Robots::default(), NewRobot { expires, ..new("ci") }, 1);
    let at = |days| robots.log_in("ci", secret.as_bytes(), NOW + Duration::days(days));
    assert_eq!((at(89), at(90), at(91)), (Login::Accepted, Login::Expired, Login::Expired));
    assert_eq!(robots.log_in("ci", b"wrong", NOW + Duration::days(91)), Login::Wrong);
    let revoked = robots.revoke("ci", NOW).unwrap();
    assert_eq!(revoked.log_in("ci", secret.as_bytes(), NOW), Login::Revoked);
    assert_eq!(revoked.log_in("ci", b"wrong", NOW), Login::Wrong);
    assert!(matches!(revoked.revoke("ci", NOW), Err(Error::RobotRevoked(_))));
    assert!(matches!(revoked.revoke("no", NOW), Err(Error::RobotUnknown(_))));
    let again = revoked.create(new("ci"), NOW, &[2; Robots::RANDOM]);
    assert!(matches!(again, Err(Error::RobotExists(_))), "the name stays taken");
}

#[test]
fn the_file_is_read_as_it_was_written() {
    let scope = RobotScope {
        repositories: vec!["team-a/**".parse().unwrap()],
        allow: vec![Allow::Pull, Allow::Push],
    };
    let new = NewRobot {
        description: "the build".to_owned(),
        expires: Some(NOW + Duration::days(1)),
        scope: vec![scope],
        ..new("ci")
    };
    let (robots, _) = create(&Robots::default(), new, 1);
    let (robots, _) = create(&robots.revoke("ci", NOW).unwrap(), self::new("b"), 2);
    let text = robots.to_text().unwrap();
    assert_eq!(Robots::parse(&text).unwrap(), robots);
    assert!(text.contains("\"expires\": \"1970-01-02T00:00:00Z\""), "{text}");
}

#[test]
fn a_malformed_file_is_refused() {
    let (robots, _) = create(&Robots::default(), new("ci"), 1);
    let text = robots.to_text().unwrap();
    let twice = text.replace("]\n", &format!(",{}", text.split_once('[').unwrap().1));
    for bad in [
        "",
        "[]",
        "{}",
        &text.replace("\"name\"", "\"nom\""),
        &text.replace("\"salt\"", "\"extra\": 1, \"salt\""),
        &text.replace("\"ci\"", "\"CI\""),
        &text.replace("\"ci\"", "\"\""),
        &text.replace("sha256:", "sha256:x"),
        &text.replace("1970-01-01", "1970-13-01"),
        &text.replace("\"salt\"", "\"scope\": [{\"repositories\": [], \"allow\": [\"pull\"]}], \"salt\""),
        &text
            .replace("\"salt\"", "\"scope\": [{\"repositories\": [\"/\"], \"allow\": [\"pull\"]}], \"salt\""),
        &twice,
    ] {
        assert!(matches!(Robots::parse(bad), Err(Error::RobotsFile(_))), "{bad}");
    }
}

#[test]
fn a_bad_name_or_a_past_date_is_refused() {
    let create = |new| Robots::default().create(new, NOW, &[0; Robots::RANDOM]);
    for bad in ["", "A", "a b", "robot$ci", "-a", "a-", "a:b", "a/b", "é", &"a".repeat(65)] {
        assert!(matches!(create(new(bad)), Err(Error::RobotName(_))), "{bad}");
    }
    for good in ["a", "ci-2", "a.b_c", &"a".repeat(64)] {
        assert!(create(new(good)).is_ok(), "{good}");
    }
    let expired = NewRobot { expires: Some(NOW), ..new("ci") };
    assert!(matches!(create(expired), Err(Error::RobotExpired(_))));
}

#[test]
fn a_scope_includes_what_one_of_its_parts_allows() {
    let part = |pattern: &str, allow: &[Allow]| RobotScope {
        repositories: vec![pattern.parse().unwrap()],
        allow: allow.to_vec(),
    };
    let scope = vec![part("a/*", &[Allow::Pull]), part("b", &[Allow::Admin])];
    let (robots, _) = create(&Robots::default(), NewRobot { scope, ..new("ci") }, 1);
    let within =
        |name: &str, action| robots.robot("ci").unwrap().is_within_scope(&name.parse().unwrap(), action);
    assert!(within("a/x", Allow::Pull) && within("b", Allow::Delete) && within("b", Allow::Push));
    assert!(!within("a/x", Allow::Push) && !within("a/x/y", Allow::Pull) && !within("c", Allow::Pull));
    let (open, _) = create(&Robots::default(), new("ci"), 1);
    assert!(open.robot("ci").unwrap().is_within_scope(&"c".parse().unwrap(), Allow::Push));
}

#[test]
fn an_unknown_robot_and_a_wrong_secret_take_the_same_time() {
    let (robots, _) = create(&Robots::default(), new("ci"), 1);
    let secret = "airlock_".to_owned() + &"x".repeat(43);
    let time = |name: &str| {
        let begun = Instant::now();
        for _ in 0..100 {
            assert_eq!(robots.log_in(name, secret.as_bytes(), NOW), Login::Wrong);
        }
        begun.elapsed()
    };
    // The fastest of many rounds: other processes only add to the time.
    let mut fastest = [std::time::Duration::MAX; 2];
    for _ in 0..50 {
        for (fastest, name) in fastest.iter_mut().zip(["ci", "nobody"]) {
            *fastest = (*fastest).min(time(name));
        }
    }
    let [known, unknown] = fastest;
    assert!(known < unknown * 2 && unknown < known * 2, "{fastest:?}");
}
