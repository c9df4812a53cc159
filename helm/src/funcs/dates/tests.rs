use gostd::object::Object;

use super::*;
use crate::funcs::testing::call;

fn text_of(value: Value) -> String {
    match value {
        Value::Str(text) => text.to_string(),
        Value::Object(object) => object.print(),
        Value::Float64(number) => number.to_string(),
        Value::Int(number) | Value::Int64(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        other => panic!("{}", other.type_name()),
    }
}

fn done(name: &str, arguments: &[Value]) -> String {
    text_of(call(FUNCTIONS, name, arguments).unwrap())
}

fn time(text: &str) -> Value {
    call(FUNCTIONS, "mustToDate", &["2006-01-02T15:04:05Z07:00".into(), text.into()]).unwrap()
}

fn member(value: &Value, name: &str, arguments: &[Value]) -> Value {
    let Value::Object(object) = value else { panic!("{}", value.type_name()) };
    object.member(name, arguments).unwrap().unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn shows_times_and_seconds() {
    assert_eq!(done("now", &[]), "2024-05-06 07:08:09.123456789 +0000 UTC");
    assert_eq!(done("date", &["2006-01-02 15:04".into(), Value::Int(0)]), "1970-01-01 00:00");
    assert_eq!(done("date", &["2006-01-02".into(), Value::Int64(86_400)]), "1970-01-02");
    // Anything that is not a date, even a float from YAML, means now.
    assert_eq!(done("date", &["2006-01-02".into(), Value::Float64(0.0)]), "2024-05-06");
    assert_eq!(done("htmlDate", &["x".into()]), "2024-05-06");
    let zoned = [Value::Int(1_717_200_000), "Asia/Tokyo".into()];
    assert_eq!(done("htmlDateInZone", &zoned), "2024-06-01");
    let arguments = ["15:04 MST -0700".into(), Value::Int(1_717_200_000), "America/New_York".into()];
    assert_eq!(done("dateInZone", &arguments), "20:00 EDT -0400");
    let arguments = ["15:04 MST".into(), Value::Int(1_717_200_000), "nowhere".into()];
    assert_eq!(done("date_in_zone", &arguments), "00:00 UTC");
}

#[test]
fn moves_times() {
    let start = time("2024-02-28T23:00:00Z");
    assert_eq!(done("dateModify", &["1.5h".into(), start.clone()]), "2024-02-29 00:30:00 +0000 UTC");
    assert_eq!(done("date_modify", &["nonsense".into(), start.clone()]), "2024-02-28 23:00:00 +0000 UTC");
    let refused = call(FUNCTIONS, "mustDateModify", &["nonsense".into(), start]);
    assert_eq!(refused.err(), Some("time: invalid duration \"nonsense\"".into()));
    let refused = call(FUNCTIONS, "dateModify", &["1h".into(), "x".into()]);
    assert_eq!(refused.err(), Some("wrong type for value; expected time.Time; got string".into()));
    assert_eq!(done("unixEpoch", &[time("2024-05-06T07:08:00+01:00")]), "1714975680");
}

#[test]
fn reads_dates() {
    assert_eq!(done("toDate", &["2006-01-02".into(), "2024-02-30".into()]), "0001-01-01 00:00:00 +0000 UTC");
    assert_eq!(done("toDate", &["2006-01-02".into(), "2024-02-29".into()]), "2024-02-29 00:00:00 +0000 UTC");
    let refused = call(FUNCTIONS, "mustToDate", &["2006-01-02".into(), "2024-02-30".into()]);
    assert_eq!(refused.err(), Some("parsing time \"2024-02-30\": day out of range".into()));
}

#[test]
fn prints_durations() {
    assert_eq!(done("ago", &[time("2024-05-06T07:00:00Z")]), "8m9s");
    assert_eq!(done("ago", &[Value::Int(1_714_979_288)]), "1s");
    assert_eq!(done("duration", &["95".into()]), "1m35s");
    assert_eq!(done("duration", &[Value::Int64(95)]), "1m35s");
    // Sprig treats an `int` and a float as zero.
    assert_eq!(done("duration", &[Value::Int(95)]), "0s");
    assert_eq!(done("duration", &["99999999999999999999".into()]), "-1s");
    for (text, round) in
        [("2h", "2h"), ("61s", "1m"), ("1m", "60s"), ("800h", "1mo"), ("-9000h", "1y"), ("x", "0s")]
    {
        assert_eq!(done("durationRound", &[text.into()]), round, "{text}");
    }
    assert_eq!(done("durationRound", &[time("2024-05-01T00:00:00Z")]), "5d");
}

#[test]
fn helms_own_duration_functions() {
    assert_eq!(done("mustToDuration", &["1h30m".into()]), "1h30m0s");
    assert_eq!(done("mustToDuration", &[Value::Float64(2.5)]), "2.5s");
    assert_eq!(done("mustToDuration", &[" 2.5 ".into()]), "2.5s");
    assert_eq!(done("durationSeconds", &["1m1.5s".into()]), "61.5");
    assert_eq!(done("durationMilliseconds", &[Value::Int(2)]), "2000");
    assert_eq!(done("durationMicroseconds", &["1ms".into()]), "1000");
    assert_eq!(done("durationNanoseconds", &["x".into()]), "0");
    assert_eq!(done("durationMinutes", &["90s".into()]), "1.5");
    assert_eq!(done("durationHours", &["90m".into()]), "1.5");
    assert_eq!(done("durationDays", &["36h".into()]), "1.5");
    assert_eq!(done("durationWeeks", &["252h".into()]), "1.5");
    assert_eq!(done("durationRoundTo", &["2h16m".into(), "30m".into()]), "2h30m0s");
    assert_eq!(done("durationTruncateTo", &["2h13m".into(), "30m".into()]), "2h0m0s");
    assert_eq!(done("durationTruncateTo", &["2h13m".into(), "x".into()]), "2h13m0s");
    for (value, text) in [
        (Value::Nil, "invalid duration"),
        ("".into(), "empty duration"),
        ("x y".into(), "could not parse duration \"x y\""),
        (Value::Bool(true), "unsupported duration type bool"),
        (Value::Int64(i64::MAX), "duration seconds overflow: 9223372036854775807"),
    ] {
        assert_eq!(call(FUNCTIONS, "mustToDuration", &[value]).err(), Some(text.into()));
    }
}

#[test]
fn times_have_gos_methods() {
    let at = time("2024-05-06T07:08:09.5+02:00");
    for (name, expected) in [
        ("Year", "2024"),
        ("Month", "May"),
        ("Day", "6"),
        ("Hour", "7"),
        ("Minute", "8"),
        ("Second", "9"),
        ("Nanosecond", "500000000"),
        ("Weekday", "Monday"),
        ("YearDay", "127"),
        ("Unix", "1714972089"),
        ("UnixMilli", "1714972089500"),
        ("UnixNano", "1714972089500000000"),
        ("IsZero", "false"),
        ("UTC", "2024-05-06 05:08:09.5 +0000 UTC"),
        ("String", "2024-05-06 07:08:09.5 +0200 +0200"),
    ] {
        assert_eq!(text_of(member(&at, name, &[])), expected, "{name}");
    }
    let later = member(&at, "Add", &[call(FUNCTIONS, "mustToDuration", &["1h".into()]).unwrap()]);
    assert_eq!(text_of(member(&later, "Sub", std::slice::from_ref(&at))), "1h0m0s");
    assert_eq!(text_of(member(&at, "Before", std::slice::from_ref(&later))), "true");
    assert_eq!(text_of(member(&at, "After", std::slice::from_ref(&later))), "false");
    assert_eq!(text_of(member(&at, "Equal", &[member(&at, "UTC", &[])])), "true");
    assert_eq!(text_of(member(&at, "Format", &["Jan 2".into()])), "May 6");
    let moved = member(&at, "AddDate", &[Value::Int(0), Value::Int(9), Value::Int(25)]);
    assert_eq!(text_of(member(&moved, "Format", &["2006-01-02".into()])), "2025-03-03");
    let Value::Object(object) = &at else { panic!("no object") };
    assert_eq!(text_of(object.plain()), "2024-05-06T07:08:09.5+02:00");
    assert!(object.member("Nothing", &[]).unwrap().is_none());
    assert!(object.member("Format", &[]).is_err());
    assert!(object.member("Sub", &["x".into()]).is_err());
    assert!(object.member("Year", &["x".into()]).is_err());
}

#[test]
fn durations_have_gos_methods() {
    let length = Duration(5_025_000_000_000);
    for (name, expected) in [
        ("Hours", "1.3958333333333333"),
        ("Minutes", "83.75"),
        ("Seconds", "5025"),
        ("Milliseconds", "5025000"),
    ] {
        assert_eq!(text_of(length.member(name, &[]).unwrap().unwrap()), expected, "{name}");
    }
    assert_eq!(length.print(), "1h23m45s");
    assert_eq!(
        text_of(length.member("Truncate", &[Value::Int(60_000_000_000)]).unwrap().unwrap()),
        "1h23m0s"
    );
    assert!(length.truth() && !Duration(0).truth());
}
