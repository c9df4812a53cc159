//! Any text as a template, within tight bounds.

use helm::Chart;

use super::{METADATA, limits, render_within};

const VALUES: &str =
    "list: [1, two, 3.5, null, {a: b}]\nmap: {a: {b: {c: d}}, n: 7}\ntext: \"aż\\n😀\"\nyes: true\n";
const HELPERS: &str =
    "{{ define \"h\" }}{{ . | toYaml | nindent 2 }}{{ end }}{{ define \"r\" }}{{ include \"r\" . }}{{ end }}";

/// One run.
pub fn run(bytes: &[u8]) {
    let template = super::text(bytes);
    let file = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
    let files = [
        file("Chart.yaml", METADATA),
        file("values.yaml", VALUES),
        file("files/a.txt", "one\ntwo\n"),
        file("templates/_h.tpl", HELPERS),
        file("templates/t.yaml", template),
    ];
    if let Ok(chart) = Chart::from_files(files, &limits()) {
        render_within(&chart);
    }
}
