//! The binary accepts every `airlock` command line in the documentation.

use std::path::Path;

use crate::cli::airlock;

#[test]
fn the_commands_in_the_documentation_parse() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    pages.extend(std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    let folder = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        let mut fenced = false;
        let lines = text.lines().flat_map(|line| {
            fenced ^= line.starts_with("```");
            match line.strip_prefix("airlock ") {
                Some(rest) if fenced => vec![rest],
                _ => line.split("`airlock ").skip(1).filter_map(|rest| rest.split('`').next()).collect(),
            }
        });
        // Lines with shell variables are run by the tests in `documented`.
        for line in lines.filter(|line| !line.contains("...") && !line.contains('$')) {
            let unquoted = |word| str::strip_prefix(word, "'").and_then(|rest| rest.strip_suffix("'"));
            let words = line.split_whitespace().map(|word| unquoted(word).unwrap_or(word));
            let arguments: Vec<&str> = words.take_while(|word| *word != ">").collect();
            // With `--help`, the arguments are parsed but not executed.
            let output = airlock(folder.path(), &[&arguments[..], &["--help"]].concat());
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{}: airlock {line}: {said}", page.display());
            checked += 1;
        }
    }
    assert!(checked >= 25, "only {checked} commands were found");
}
