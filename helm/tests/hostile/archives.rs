//! Hostile archives and value files, named by their defect.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::{Compress, Compression, FlushCompress};
use helm::{Chart, Error};

use crate::{End, METADATA, limits, problems, render_chart, render_files, text};

/// Archives and value files, named by their defect.
fn archives() -> Vec<(&'static str, End)> {
    let rejected = |text: &str| End::Error(text.to_owned());
    vec![
        ("ten-gigabytes", rejected("larger than the maximum file size")),
        ("ten-gigabytes-of-files", rejected("")),
        ("long-name", rejected("")),
        ("pax-bomb", rejected("")),
        ("charts-in-charts", rejected("chart_depth")),
        ("archives-in-archives", rejected("chart_depth")),
        ("parent", rejected("parent directory")),
        ("absolute", rejected("absolute")),
        ("drive", rejected("illegally named")),
        ("backslash", rejected("parent directory")),
        ("symlink", rejected("symbolic link")),
        ("hardlink", rejected("hard link")),
        ("device", rejected("irregular")),
        ("nul", rejected("")),
        ("torn", rejected("")),
        ("values-aliases", rejected("")),
        ("values-depth", rejected("")),
        ("values-json-depth", rejected("")),
        ("metadata-aliases", rejected("")),
        ("schema-recursion", End::Any),
        ("schema-pattern", End::Any),
        ("schema-depth", End::Any),
        ("ignore-pattern", End::Any),
        ("many-dependencies", End::Any),
        ("many-charts", End::Any),
    ]
}

#[test]
fn a_hostile_archive_ends() {
    let cases = archives().into_iter().map(|(name, end)| (name.to_owned(), end, String::new()));
    let found = problems(cases.collect());
    assert!(found.is_empty(), "{} cases fail:\n{}", found.len(), found.join("\n"));
}

/// One raw entry of an archive.
struct Entry<'a> {
    name: &'a [u8],
    kind: tar::EntryType,
    link: &'a str,
    data: &'a [u8],
}

impl<'a> Entry<'a> {
    fn file(name: &'a str, data: &'a [u8]) -> Self {
        Self { name: name.as_bytes(), kind: tar::EntryType::Regular, link: "", data }
    }

    fn header(&self, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..self.name.len()].copy_from_slice(self.name);
        header.set_entry_type(self.kind);
        header.set_mode(0o644);
        header.set_size(size);
        if !self.link.is_empty() {
            header.set_link_name_literal(self.link).unwrap();
        }
        header.set_cksum();
        header
    }
}

fn tarball(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend(entry.header(entry.data.len() as u64).as_bytes());
        bytes.extend(entry.data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.extend([0; 1024]);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The gzip of `head` and then `block`, `times` times, without holding the uncompressed data.
fn repeated(head: &[u8], block: &[u8], times: usize) -> Vec<u8> {
    let deflate = |bytes: &[u8]| {
        let mut out = Vec::with_capacity(bytes.len() + 1024);
        Compress::new(Compression::best(), false).compress_vec(bytes, &mut out, FlushCompress::Full).unwrap();
        out
    };
    let mut archive = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    archive.extend(deflate(head));
    let block = deflate(block);
    for _ in 0..times {
        archive.extend(&block);
    }
    archive
}

fn load(archive: &[u8]) -> Result<(), Error> {
    Chart::from_archive(archive, &limits()).and_then(|chart| render_chart(&chart))
}

/// Loads an archive with `Chart.yaml` and one more entry.
fn with_entry(entry: Entry<'_>) -> Result<(), Error> {
    load(&gzip(&tarball(&[Entry::file("conf/Chart.yaml", METADATA.as_bytes()), entry])))
}

fn named(name: &[u8]) -> Result<(), Error> {
    with_entry(Entry { name, kind: tar::EntryType::Regular, link: "", data: b"x" })
}

fn linked(kind: tar::EntryType) -> Result<(), Error> {
    with_entry(Entry { name: b"conf/values.yaml", kind, link: "/etc/hostname", data: b"" })
}

/// Renders a small chart with one more file.
fn with_file(name: &str, content: &str) -> Result<(), Error> {
    render_files(vec![
        text("Chart.yaml", METADATA),
        text("templates/a.yaml", "a: {{ .Values.x }}"),
        text(name, content),
    ])
}

fn aliases() -> String {
    let mut yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = vec![format!("*a{}", level - 1); 9].join(", ");
        let _ = writeln!(yaml, "a{level}: &a{level} [{before}]");
    }
    yaml
}

pub(crate) fn run_archive(name: &str) -> Result<(), Error> {
    let metadata = tarball(&[Entry::file("conf/Chart.yaml", METADATA.as_bytes())]);
    let head = metadata.get(..1024).unwrap();
    match name {
        "ten-gigabytes" => {
            let header = Entry::file("conf/zero", b"").header(10 << 30);
            load(&repeated(&[head, header.as_bytes()].concat(), &vec![0; 1 << 20], 10 << 10))
        }
        "ten-gigabytes-of-files" => {
            let entry = tarball(&[Entry::file("conf/zero", &vec![0; 1 << 20])]);
            load(&repeated(head, entry.get(..(1 << 20) + 512).unwrap(), 10 << 10))
        }
        "long-name" => {
            let long = Entry { kind: tar::EntryType::GNULongName, ..Entry::file("././@LongLink", b"") };
            load(&repeated(
                &[head, long.header(10 << 30).as_bytes()].concat(),
                &vec![b'a'; 1 << 20],
                10 << 10,
            ))
        }
        "pax-bomb" => {
            let pax = Entry { kind: tar::EntryType::XHeader, ..Entry::file("pax", b"") };
            load(&repeated(&[head, pax.header(10 << 30).as_bytes()].concat(), &vec![b'a'; 1 << 20], 10 << 10))
        }
        "parent" => named(b"conf/../../etc/passwd"),
        "absolute" => named(b"conf//etc/passwd"),
        "drive" => named(b"conf/C:/x"),
        "backslash" => named(b"conf\\..\\..\\x"),
        "nul" => named(b"conf/\xff\xfe"),
        "symlink" => linked(tar::EntryType::Symlink),
        "hardlink" => linked(tar::EntryType::Link),
        "device" => linked(tar::EntryType::Block),
        "torn" => load(gzip(&metadata).get(..60).unwrap()),
        other => run_files(other),
    }
}

fn run_files(name: &str) -> Result<(), Error> {
    let nested = |open: &str, times: usize, close: &str| [open.repeat(times), close.repeat(times)].concat();
    match name {
        "charts-in-charts" => {
            let path = |depth: usize| format!("{}Chart.yaml", "charts/conf/".repeat(depth));
            let files = (0..200).map(|depth| (path(depth), METADATA.as_bytes().to_vec()));
            render_files(files.collect())
        }
        "archives-in-archives" => {
            let mut inner = Vec::new();
            for _ in 0..100 {
                let child = Entry::file("conf/charts/conf-1.0.0.tgz", &inner);
                inner = gzip(&tarball(&[Entry::file("conf/Chart.yaml", METADATA.as_bytes()), child]));
            }
            load(&inner)
        }
        "values-aliases" => with_file("values.yaml", &aliases()),
        "values-depth" => {
            with_file("values.yaml", &nested("a: [", 1, "]").replace("[]", &nested("[", 100_000, "]")))
        }
        "values-json-depth" => with_file("values.yaml", &nested("{\"a\":", 100_000, "}")),
        "metadata-aliases" => with_file("Chart.yaml", &format!("{METADATA}{}", aliases())),
        "schema-recursion" => with_file("values.schema.json", r##"{"$ref": "#"}"##),
        "schema-pattern" => {
            let schema = r#"{"properties": {"x": {"pattern": "((a{1000}){1000}){1000}"}}}"#;
            render_files(vec![
                text("Chart.yaml", METADATA),
                text("values.yaml", "x: aaaa"),
                text("values.schema.json", schema),
            ])
        }
        "schema-depth" => with_file("values.schema.json", &nested("{\"not\":", 100_000, "}")),
        "ignore-pattern" => with_file(".helmignore", &"*a".repeat(100_000)),
        "many-dependencies" => {
            let many = "- {name: conf, version: 1.0.0, alias: b}\n".repeat(20_000);
            with_file("Chart.yaml", &format!("{METADATA}dependencies:\n{many}"))
        }
        "many-charts" => {
            let child = |number: usize| {
                (
                    format!("charts/c{number}/Chart.yaml"),
                    format!("apiVersion: v2\nname: c{number}\nversion: 1.0.0\n").into_bytes(),
                )
            };
            render_files((0..5000).map(child).chain([text("Chart.yaml", METADATA)]).collect())
        }
        other => panic!("no such case: {other}"),
    }
}
