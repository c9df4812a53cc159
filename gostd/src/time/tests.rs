use super::*;

const CASES: &str = include_str!("../../tests/data/gotime/cases.tsv");

/// The columns of one row: the kind of case, then Go string literals in ASCII.
fn columns(row: &str) -> Vec<String> {
    let mut columns = row.split('\t').map(str::to_owned);
    let kind = columns.next().unwrap();
    std::iter::once(kind).chain(columns.map(|column| unquote(&column))).collect()
}

fn unquote(literal: &str) -> String {
    let mut out = String::new();
    let mut rest = literal[1..literal.len() - 1].chars();
    while let Some(c) = rest.next() {
        let width = match (c, if c == '\\' { rest.next() } else { None }) {
            (_, Some('u')) => 4,
            (_, Some('x')) => 2,
            (_, Some(escaped @ ('"' | '\\'))) => {
                out.push(escaped);
                continue;
            }
            (plain, None) => {
                out.push(plain);
                continue;
            }
            other => panic!("escape {other:?} in {literal}"),
        };
        let code: String = rest.by_ref().take(width).collect();
        out.push(char::from_u32(u32::from_str_radix(&code, 16).unwrap()).unwrap());
    }
    out
}

fn rows(kind: &str, least: usize) -> Vec<Vec<String>> {
    let rows: Vec<_> = CASES.lines().map(columns).filter(|columns| columns[0] == kind).collect();
    assert!(rows.len() >= least, "{} cases of {kind}", rows.len());
    rows
}

#[test]
fn formats_as_go_does() {
    for row in rows("format", 300) {
        let [_, seconds, nanos, zone, layout, expected] = row.as_slice() else { panic!("{row:?}") };
        let zone = Zone::load(zone).unwrap_or(Zone::Utc);
        let time = Time::unix(seconds.parse().unwrap(), nanos.parse().unwrap()).within(zone);
        assert_eq!(&format(&time, layout), expected, "{row:?}");
    }
}

#[test]
fn parses_as_go_does() {
    for row in rows("parse", 100) {
        let [_, layout, value, expected] = row.as_slice() else { panic!("{row:?}") };
        let ours = match parse(layout, value) {
            Ok(time) => time.print(),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(&ours, expected, "{row:?}");
    }
}

#[test]
fn reads_and_prints_durations_as_go_does() {
    for row in rows("length", 50) {
        let [_, text, expected, printed] = row.as_slice() else { panic!("{row:?}") };
        let ours = duration::parse(text);
        assert_eq!(duration::print(*ours.as_ref().unwrap_or(&0)), *printed, "{row:?}");
        assert_eq!(ours.map_or_else(|error| format!("error: {error}"), |nanos| nanos.to_string()), *expected);
    }
}

#[test]
fn finds_the_instant_of_a_civil_time_as_go_does() {
    for row in rows("date", 100) {
        let [_, date, zone, expected] = row.as_slice() else { panic!("{row:?}") };
        let fields: Vec<i64> = date.split(' ').map(|field| field.parse().unwrap()).collect();
        let [year, month, day, hour, minute, second] = fields[..] else { panic!("{date}") };
        let civil = Civil { year, month, day, hour, minute, second };
        let time = Time::date(civil, 0, Zone::load(zone).unwrap());
        assert_eq!(time.seconds.to_string(), *expected, "{row:?}");
    }
}

#[test]
fn zones_are_found_by_exact_name_only() {
    assert!(Zone::load("Europe/Berlin").is_some());
    assert!(Zone::load("europe/berlin").is_none());
    assert!(Zone::load("../etc/passwd").is_none());
    assert!(Zone::load("/etc/localtime").is_none());
    assert_eq!(Zone::load("Local").unwrap().name(), "Local");
}

#[test]
fn rounds_durations_and_instants() {
    assert_eq!(duration::round(1_500_000_000, duration::SECOND), 2_000_000_000);
    assert_eq!(duration::round(-1_500_000_000, duration::SECOND), -2_000_000_000);
    assert_eq!(duration::round(i64::MAX, i64::MAX - 1), i64::MAX - 1);
    assert_eq!(duration::round(i64::MIN, 10), i64::MIN);
    assert_eq!(duration::truncate(-1_500_000_000, duration::SECOND), -1_000_000_000);
    let time = Time::unix(1_700_000_001, 600_000_000);
    assert_eq!(time.round(duration::SECOND).seconds, 1_700_000_002);
    assert_eq!(time.truncate(3_600 * duration::SECOND).seconds, 1_699_999_200);
}

#[test]
fn extreme_instants_do_not_panic() {
    for seconds in [i64::MIN, i64::MAX, i64::MIN / 2, i64::MAX / 2] {
        let time = Time::unix(seconds, 999_999_999).within(Zone::load("Europe/Berlin").unwrap());
        let _ = (time.print(), time.year_day(), time.weekday());
        let _ = (time.add(i64::MAX), time.add(i64::MIN), time.truncate(7), time.round(i64::MAX));
        assert_eq!(time.since(&time), 0);
    }
    let civil = Civil {
        year: i64::MAX,
        month: i64::MIN,
        day: i64::MAX,
        hour: i64::MAX,
        minute: i64::MIN,
        second: i64::MAX,
    };
    let _ = Time::date(civil, 0, Zone::Utc);
}
