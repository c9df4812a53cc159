//! A drive as one page: the summary first, then the items by kind and origin, in collapsed sections. The page has no
//! scripts and no external resources. The printed page shows all sections.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use mirror::lock::{ItemKind, LockedItem};
use tlog::text;

use super::{Contents, kind_name, log_line};

const STYLE: &str = include_str!("html.css");

/// All kinds, in the order of the page.
const KINDS: [ItemKind; 4] = [ItemKind::Image, ItemKind::Chart, ItemKind::File, ItemKind::Bundle];

/// The contents as a self-contained HTML page, for the screen and for print.
#[must_use]
pub fn html(contents: &Contents) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Contents of " (contents.name) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { h1 { "Contents of " (contents.name) } }
                main {
                    p.note { "The signature was not verified for this page. Run " code { "airlock verify" } " with your trust file." }
                    h2 { "Summary" }
                    (summary(contents))
                    (totals(contents))
                    h2 { "Items" }
                    @for kind in KINDS { (kind_section(contents, kind)) }
                    h2 { "Details" }
                    (volumes(contents))
                    (tags(contents))
                }
            }
        }
    };
    // Text from the drive may contain characters that hide or reorder text; the page's own text does not.
    text::shown(&page.into_string()).into_owned()
}

fn summary(contents: &Contents) -> Markup {
    let found = contents.volumes.iter().filter(|volume| volume.size.is_some()).count();
    let all = contents.volumes.len();
    html! {
        dl {
            dt { "Set" } dd { code { (contents.set) } }
            dt { "Signing key" } dd { code { (contents.key_hint.as_deref().unwrap_or("none")) } " (claimed)" }
            dt { "Written by" } dd { (text::line(&contents.created_by)) }
            dt { "Sender's log" } dd { (log_line(contents.log.as_ref())) }
            dt { "Content" }
            dd { (count(contents.blobs, "blob")) ", " (size(contents.content_bytes)) }
            dt { "Volumes" }
            dd {
                (found) " of " (all) " found"
                @if found < all { " " strong { "(incomplete)" } }
            }
            dt { "Completed" }
            dd {
                @match &contents.completion {
                    Some(mark) => { (mark.completed_at) @if mark.read_back { ", read back" } }
                    None => { strong { "no completion mark" } }
                }
            }
        }
    }
}

fn of_kind(contents: &Contents, kind: ItemKind) -> Vec<&LockedItem> {
    contents.items.iter().filter(|item| item.kind == kind).collect()
}

fn bytes_of(items: &[&LockedItem]) -> u64 {
    items.iter().fold(0, |sum, item| sum.saturating_add(item.size))
}

fn totals(contents: &Contents) -> Markup {
    html! {
        table.totals {
            caption { "Items by kind" }
            thead { tr { th scope="col" { "Kind" } th.number scope="col" { "Items" } th.number scope="col" { "Size" } } }
            tbody {
                @for kind in KINDS {
                    @let items = of_kind(contents, kind);
                    @if !items.is_empty() {
                        tr {
                            th scope="row" { (plural(kind_name(kind))) }
                            td.number { (items.len()) }
                            td.number { (size(bytes_of(&items))) }
                        }
                    }
                }
            }
        }
    }
}

fn kind_section(contents: &Contents, kind: ItemKind) -> Markup {
    let items = of_kind(contents, kind);
    let mut origins: BTreeMap<&str, Vec<&LockedItem>> = BTreeMap::new();
    for item in &items {
        origins.entry(origin(&item.source)).or_default().push(item);
    }
    html! {
        @if !items.is_empty() {
            h3 { (plural(kind_name(kind))) }
            @for (origin, items) in &origins {
                details {
                    summary {
                        span.origin { (text::line(origin)) } " "
                        span.aside { (count(items.len() as u64, kind_name(kind))) ", " (size(bytes_of(items))) }
                    }
                    (table(origin, items))
                }
            }
        }
    }
}

fn table(origin: &str, items: &[&LockedItem]) -> Markup {
    html! {
        table.items {
            caption { "From " (text::line(origin)) }
            thead {
                tr {
                    th scope="col" { "Source and digest" }
                    th scope="col" { "Platforms" }
                    th.number scope="col" { "Size" }
                }
            }
            tbody {
                @for item in items {
                    tr {
                        td {
                            span.source { (text::line(&item.source)) }
                            @if let Some(tag) = &item.tag {
                                @if !item.source.ends_with(tag.as_str()) { " " span.aside { "tag " (tag) } }
                            }
                            code.digest { (item.digest) }
                        }
                        td { (text::line(&item.platforms.join(", "))) }
                        td.number { (size(item.size)) }
                    }
                }
            }
        }
    }
}

fn volumes(contents: &Contents) -> Markup {
    html! {
        details {
            summary { "Volumes " span.aside { (contents.volumes.len()) } }
            table {
                caption { "Files of the set" }
                thead { tr { th scope="col" { "File" } th.number scope="col" { "Size" } } }
                tbody {
                    @for volume in &contents.volumes {
                        tr {
                            td { code { (text::line(&volume.name)) } }
                            td.number {
                                @match volume.size {
                                    Some(bytes) => { (size(bytes)) }
                                    None => { strong { (volume.instead()) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn tags(contents: &Contents) -> Markup {
    html! {
        details {
            summary { "Tags " span.aside { (contents.tags.len()) } }
            table.items {
                caption { "All tags with their digests" }
                thead { tr { th scope="col" { "Tag and digest" } } }
                tbody {
                    @for (tag, digest) in &contents.tags {
                        tr { td { span.source { (text::line(tag)) } code.digest { (digest) } } }
                    }
                }
            }
        }
    }
}

/// The host of a reference or URL; sources without a host are local files of the sender.
fn origin(source: &str) -> &str {
    let rest = source.split_once("://").map_or(source, |(_, rest)| rest);
    match rest.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) && !host.starts_with('.') => host,
        Some((host @ "localhost", _)) => host,
        _ => "local files and short names",
    }
}

fn plural(kind: &str) -> String {
    let mut name = format!("{kind}s");
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name
}

fn count(number: u64, name: &str) -> String {
    if number == 1 { format!("1 {name}") } else { format!("{number} {name}s") }
}

/// A human-readable size, with one decimal from 10 kB.
fn size(bytes: u64) -> String {
    if bytes < 10_000 {
        return count(bytes, "byte");
    }
    let (mut unit, mut scaled) = ("kB", bytes);
    for larger in ["MB", "GB", "TB"] {
        if scaled < 1_000_000 {
            break;
        }
        (unit, scaled) = (larger, scaled / 1000);
    }
    format!("{}.{} {unit}", scaled / 1000, scaled % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::inspect::VolumeLine;

    fn item(kind: ItemKind, source: &str) -> LockedItem {
        LockedItem {
            kind,
            source: source.to_owned(),
            repository: "apps/web".parse().unwrap(),
            tag: Some("v1".parse().unwrap()),
            digest: oci::Digest::sha256(source.as_bytes()),
            platforms: vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()],
            size: 123_456_789,
        }
    }

    fn large() -> Contents {
        let images = (0..100).map(|number| {
            let host = ["registry.example.com", "quay.example.org:5000"][number % 2];
            let path = "a/rather/long/path/of/an/upstream/project/component";
            item(ItemKind::Image, &format!("{host}/{path}-{number}:v1"))
        });
        let others = [
            item(ItemKind::Chart, "oci://charts.example.com/harbor"),
            item(ItemKind::File, "https://files.example.com/tool.tar.gz"),
            item(ItemKind::File, "./notes.txt"),
            item(ItemKind::Bundle, "registry.example.com/bundles<script>:v1"),
        ];
        let items: Vec<LockedItem> = images.chain(others).collect();
        Contents {
            signature_checked: false,
            set: oci::Digest::sha256(b"set").to_string(),
            name: "november".to_owned(),
            created_by: "airlock 1.0".to_owned(),
            key_hint: Some("0123456789abcdef".to_owned()),
            volumes: vec![
                VolumeLine { name: "november-1.tar".to_owned(), size: Some(4_294_901_760), other: None },
                VolumeLine { name: "november-2.tar".to_owned(), size: None, other: None },
            ],
            tags: items.iter().map(|item| (item.source.clone(), item.digest.to_string())).collect(),
            items,
            blobs: 1,
            content_bytes: 12_345_678_901,
            saved_bytes: 0,
            completion: None,
            log: None,
        }
    }

    /// The elements of a page as a flat list of start and end tags. Checks that all elements are closed in order.
    fn elements(page: &str) -> Vec<String> {
        let (mut open, mut all): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for rest in page.split('<').skip(1) {
            let tag = rest.split_once('>').unwrap().0;
            let name = tag.split(' ').next().unwrap();
            match name.strip_prefix('/') {
                Some(closed) => assert_eq!(open.pop().as_deref(), Some(closed)),
                None if ["!DOCTYPE", "meta"].contains(&name) => {}
                None => open.push(name.to_owned()),
            }
            all.push(name.to_owned());
        }
        assert!(open.is_empty(), "{open:?}");
        all
    }

    #[test]
    fn o12_the_summary_comes_first_and_items_are_grouped_and_collapsed() {
        let page = html(&large());
        if let Some(path) = std::env::var_os("AIRLOCK_TEST_PAGE") {
            std::fs::write(path, &page).unwrap();
        }
        let all = elements(&page);
        let known = "!DOCTYPE body caption code dd details dl dt h1 h2 h3 head header html main meta p span strong style \
                     summary table tbody td th thead title tr";
        let known: BTreeSet<&str> = known.split_whitespace().collect();
        assert!(all.iter().all(|name| known.contains(name.trim_start_matches('/'))));
        let position = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}"));
        assert!(position("<h2>Summary</h2>") < position("<h2>Items</h2>"));
        assert!(position("Items by kind") < position("<details>"));
        assert!(position("<h3>Images</h3>") < position("<h3>Charts</h3>"));
        assert!(position("<h3>Files</h3>") < position("<h3>Package bundles</h3>"));
        // Two hosts of images, one of charts, two of files, one of bundles; volumes and tags.
        assert_eq!(page.matches("<details>").count(), 8);
        assert!(!page.contains("<details open"));
        assert!(page.contains("50 images, 6.1 GB") && page.contains("1 chart, 123.4 MB"));
        assert!(page.contains("1 of 2 found") && page.contains("1 blob, 12.3 GB"));
        // The visible part is short: a row for each kind, and only the set's digest.
        let shown = page.split("<details>").map(|part| part.rsplit("</details>").next().unwrap());
        assert_eq!(shown.map(|part| part.matches("sha256:").count()).sum::<usize>(), 1);
    }

    #[test]
    fn o12_each_item_is_shown_once_with_its_digest_on_a_separate_line() {
        let contents = large();
        let page = html(&contents);
        for item in contents.items.iter().filter(|item| !item.source.contains('<')) {
            let shown = format!(
                "<span class=\"source\">{}</span><code class=\"digest\">{}</code>",
                item.source, item.digest
            );
            let with_tag =
                format!("<span class=\"aside\">tag v1</span><code class=\"digest\">{}</code>", item.digest);
            assert!(page.contains(&shown) || page.contains(&with_tag), "{}", item.source);
        }
        assert!(page.contains("bundles&lt;script&gt;:v1"));
        assert!(STYLE.contains(".digest { display: block"));
        assert!(STYLE.contains("@media print") && STYLE.contains("::details-content"));
    }

    #[test]
    fn sizes_and_origins_are_human_readable() {
        let sizes = [0, 1, 9_999, 10_000, 999_999, 1_000_000, 12_345_678_901].map(size);
        assert_eq!(sizes, ["0 bytes", "1 byte", "9999 bytes", "10.0 kB", "999.9 kB", "1.0 MB", "12.3 GB"]);
        let own = "local files and short names";
        for (source, expected) in [
            ("r.io/app:v1", "r.io"),
            ("localhost:5000/a", "localhost:5000"),
            ("https://files.example.com/x", "files.example.com"),
            ("./a/b", own),
            ("../b", own),
            ("alpine", own),
            ("charts/web", own),
        ] {
            assert_eq!(origin(source), expected, "{source}");
        }
    }
}
