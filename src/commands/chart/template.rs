//! `airlock chart template`: what `helm template` prints, byte for byte.
//!
//! Source: `pkg/cmd/template.go` and `pkg/action/action.go` (`writeToFile`) of Helm 4.3.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use clap::Args;
use helm::Rendered;
use private::Readers;
use regex::Regex;
use serde_json::{Value, json};

use super::load::{ChartRender, options, whole};
use super::{Document, documents};
use crate::failure::{Status, Usage};
use crate::files::check_folder;
use crate::printer::Printer;

/// The maximum output of a post-renderer.
const RENDERED_BYTES: u64 = 256 << 20;

/// The part of a rendered chart to print, and the output.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a command-line flag")]
pub(crate) struct ChartPrinted {
    /// Print only the output of these templates, such as `templates/service.yaml` or `templates/*.yaml`, in this order. Can be
    /// repeated.
    #[arg(long, short, value_name = "TEMPLATE", value_delimiter = ',')]
    pub(crate) show_only: Vec<String>,
    /// Include the files of `crds/` first.
    #[arg(long)]
    pub(crate) include_crds: bool,
    /// Exclude hooks.
    #[arg(long)]
    pub(crate) no_hooks: bool,
    /// Exclude test hooks.
    #[arg(long)]
    pub(crate) skip_tests: bool,
    /// Render as for an upgrade.
    #[arg(long)]
    pub(crate) is_upgrade: bool,
    /// Write each template's output to a file below this folder instead of printing it.
    #[arg(long, value_name = "DIR", conflicts_with = "show_only")]
    pub(crate) output_dir: Option<PathBuf>,
    /// A program that reads the manifests on standard input and prints the manifests to use instead.
    #[arg(long, value_name = "PROGRAM", conflicts_with = "output_dir")]
    pub(crate) post_renderer: Option<PathBuf>,
    /// An argument of the post-renderer. Can be repeated.
    #[arg(long, value_name = "ARGUMENT", requires = "post_renderer", allow_hyphen_values = true)]
    pub(crate) post_renderer_args: Vec<String>,
}

pub(super) fn run(render: &ChartRender, printed: &ChartPrinted, printer: &Printer) -> anyhow::Result<Status> {
    if let Some(folder) = &printed.output_dir {
        check_folder(folder)?;
    }
    let loaded = whole(&render.chart)?;
    let mut options = options(render)?;
    options.include_crds = printed.include_crds;
    options.release.is_upgrade = printed.is_upgrade;
    let rendered = helm::render(&loaded, &options)?;
    let mut documents = documents(&rendered, printed.no_hooks);
    documents.retain(|document| !(printed.skip_tests && document.test));
    if let Some(folder) = &printed.output_dir {
        let written = write(folder, &rendered, printed.include_crds, &documents)?;
        printer.result(&written, |written| {
            written.iter().map(|path| format!("wrote {}\n", path.display())).collect()
        })?;
        return Ok(Status::Done);
    }
    let mut text = whole_text(&rendered, &documents);
    if let Some(program) = &printed.post_renderer {
        text = post_render(program, &printed.post_renderer_args, &text)?;
    }
    let chosen = if printed.show_only.is_empty() { None } else { Some(select(&text, &printed.show_only)?) };
    let value = value(&rendered, &documents, chosen.as_deref());
    printer.rendered(&value, &chosen.map_or(text, |chosen| chosen.concat()))?;
    Ok(Status::Done)
}

/// All documents, with hooks after the rest.
fn whole_text(rendered: &Rendered, documents: &[Document<'_>]) -> String {
    let mut text = format!("{}\n", rendered.manifest_text().trim());
    for document in documents.iter().filter(|document| document.hook) {
        text.push_str(&format!("---\n# Source: {}\n{}\n", document.source, document.content));
    }
    text
}

/// The documents of the selected templates, in the order of the selection: Helm matches each pattern with the path
/// after the chart's own name, as Go's `filepath.Match` does.
fn select(text: &str, patterns: &[String]) -> anyhow::Result<Vec<String>> {
    let separator = Regex::new(r"(?:^|[\t\n\f\r ]*\n)---[\t\n\f\r ]*")?;
    let source = Regex::new("# Source: [^/\n]+/(.+)")?;
    let documents: Vec<&str> =
        separator.split(text.trim()).map(str::trim).filter(|document| !document.is_empty()).collect();
    let mut chosen = Vec::new();
    for pattern in patterns {
        let before = chosen.len();
        let matching = documents.iter().filter(|document| {
            let path = source.captures(document).and_then(|found| found.get(1));
            path.is_some_and(|path| path_matches(pattern, path.as_str()))
        });
        chosen.extend(matching.map(|document| format!("---\n{document}\n")));
        if chosen.len() == before {
            let message = format!("template `{pattern}` renders nothing in this chart");
            return Err(Usage { message, hint: "run without `--show-only` to see which templates do" }.into());
        }
    }
    Ok(chosen)
}

/// Go's `filepath.Match`: `*` and `?` stop at a slash, `[...]` is a class, `\\` escapes the next character. An
/// invalid pattern matches nothing.
fn path_matches(pattern: &str, path: &str) -> bool {
    let mut expression = String::from(r"\A");
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str("[^/]"),
            '[' => {
                expression.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    expression.push('^');
                }
                loop {
                    match rest.next() {
                        None => return false,
                        Some(']') => break,
                        Some('-') => expression.push('-'),
                        Some('\\') => expression.push_str(&escaped(rest.next())),
                        other => expression.push_str(&escaped(other)),
                    }
                }
                expression.push(']');
            }
            '\\' => expression.push_str(&escaped(rest.next())),
            other => expression.push_str(&escaped(Some(other))),
        }
    }
    expression.push_str(r"\z");
    Regex::new(&expression).is_ok_and(|expression| expression.is_match(path))
}

fn escaped(character: Option<char>) -> String {
    character.map(|character| format!(r"\x{{{:x}}}", u32::from(character))).unwrap_or_default()
}

fn value(rendered: &Rendered, documents: &[Document<'_>], chosen: Option<&[String]>) -> Value {
    if let Some(chosen) = chosen {
        return json!({ "documents": chosen, "notes": rendered.notes });
    }
    let documents = documents.iter().map(|document| {
        json!({
            "source": document.source,
            "kind": document.kind,
            "name": document.name,
            "hook": document.hook,
            "content": document.content,
        })
    });
    json!({ "documents": documents.collect::<Vec<_>>(), "notes": rendered.notes })
}

/// Writes each template's documents to a file of its name below `folder`. Returns the files, in order.
fn write(
    folder: &Path,
    rendered: &Rendered,
    include_crds: bool,
    documents: &[Document<'_>],
) -> anyhow::Result<Vec<PathBuf>> {
    let crds =
        rendered.crds.iter().filter(|_| include_crds).map(|crd| (crd.source.as_str(), crd.content.as_str()));
    let documents = documents.iter().map(|document| (document.source, document.content));
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for (source, content) in crds.chain(documents) {
        let plain = Path::new(source).components().all(|part| matches!(part, Component::Normal(_)));
        if !plain {
            anyhow::bail!("template `{source}` would be written outside of `{}`", folder.display());
        }
        let path = folder.join(source);
        let document = format!("---\n# Source: {source}\n{content}\n");
        match files.iter_mut().find(|(written, _)| *written == path) {
            Some((_, text)) => text.push_str(&document),
            None => files.push((path, document)),
        }
    }
    let publish = |(path, text): (PathBuf, String)| {
        fs::create_dir_all(private::folder_of(&path))
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        crate::files::write(&path, text.as_bytes(), Readers::All)?;
        Ok(path)
    };
    files.into_iter().map(publish).collect()
}

/// Runs the post-renderer on the manifests, and returns its output.
fn post_render(program: &Path, arguments: &[String], text: &str) -> anyhow::Result<String> {
    let name = program.display();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run the post-renderer `{name}`"))?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let mut made = Vec::new();
    std::thread::scope(|scope| {
        // It is no error if the program does not read its input: only its output counts.
        scope.spawn(move || input.map(|mut input| input.write_all(text.as_bytes())));
        output.map_or(Ok(0), |output| output.take(RENDERED_BYTES + 1).read_to_end(&mut made))
    })
    .with_context(|| format!("cannot read from the post-renderer `{name}`"))?;
    let status = child.wait()?;
    if !status.success() {
        anyhow::bail!("the post-renderer `{name}` failed: {status}");
    }
    if made.len() as u64 > RENDERED_BYTES {
        anyhow::bail!("the post-renderer `{name}` printed more than {RENDERED_BYTES} bytes");
    }
    let text = String::from_utf8(made)
        .with_context(|| format!("the output of the post-renderer `{name}` is not UTF-8"))?;
    if text.trim().is_empty() {
        anyhow::bail!("the post-renderer `{name}` printed nothing");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h10_patterns_for_templates_match_as_in_go() {
        for (pattern, path, expected) in [
            ("templates/a.yaml", "templates/a.yaml", true),
            ("templates/*.yaml", "templates/a.yaml", true),
            ("templates/*.yaml", "templates/b/a.yaml", false),
            ("templates/?.yaml", "templates/a.yaml", true),
            ("templates/[a-c].yaml", "templates/b.yaml", true),
            ("templates/[^a-c].yaml", "templates/b.yaml", false),
            (r"templates/\*.yaml", "templates/*.yaml", true),
            (r"templates/\*.yaml", "templates/a.yaml", false),
            ("templates/[", "templates/[", false),
            ("templates/**", "templates/a/b", false),
            ("templates/a.yaml", "templates/aXyaml", false),
        ] {
            assert_eq!(path_matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn h10_selected_documents_are_printed_in_the_order_of_the_selection() {
        let text = "---\n# Source: web/crds/c.yaml\nkind: C\n---\n# Source: web/templates/a.yaml\nkind: A\n---\n\
            # Source: web/templates/b.yaml\nkind: B1\n---\n# Source: web/templates/b.yaml\nkind: B2\n";
        let selected = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
            let chosen = select(text, &patterns).map(|chosen| chosen.concat());
            let kinds = |text: String| {
                text.lines()
                    .filter_map(|line| line.strip_prefix("kind: ").map(str::to_owned))
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            chosen.map(kinds).map_err(|error| error.to_string())
        };
        assert_eq!(selected(&["templates/b.yaml", "templates/a.yaml"]).unwrap(), "B1 B2 A");
        assert_eq!(selected(&["templates/*"]).unwrap(), "A B1 B2");
        assert_eq!(selected(&["crds/c.yaml"]).unwrap(), "C");
        assert!(selected(&["templates/no.yaml"]).unwrap_err().contains("renders nothing"));
    }
}
