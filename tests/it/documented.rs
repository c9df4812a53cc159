//! Runs every command block in the documentation as it is written.
//!
//! A page is run from top to bottom, in a separate folder, network namespace and mount namespace. `documented/sandbox`
//! creates these, `documented/site.sh` creates the files that all pages require, and `documented/PAGE.sh` those of one
//! page. Blocks that cannot be run are in [`EXEMPT`], with the reason. A new block is run by default.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs;

const AIRLOCK: &str = env!("CARGO_BIN_EXE_airlock");
/// The programs that every page requires.
const NEEDED: [&str; 6] = ["unshare", "ip", "curl", "openssl", "jq", "zstd"];
/// The minimum number of blocks that must be run.
const FLOOR: usize = 50;

/// The reason why a block is not run as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Exempt {
    /// Its lines are run, and fail because no API server answers.
    NeedsACluster,
    /// It is run if the second program is installed, under the first name.
    NeedsAProgram(&'static str, &'static str),
    NeedsAToken,
    /// Its result is created in another way.
    NeedsADaemon,
    BuildsFromSource,
}

use Exempt::{BuildsFromSource, NeedsACluster, NeedsADaemon, NeedsAProgram, NeedsAToken};

/// The page, a text that exactly one of its blocks contains, and the reason why that block is exempt.
const EXEMPT: [(&str, &str, Exempt); 32] = [
    ("README", "scripts/test", BuildsFromSource),
    ("README", "airlock install controller", NeedsACluster),
    ("README", "airlock install package", NeedsACluster),
    ("admission", "kubectl annotate secret", NeedsACluster),
    ("bundle-format", "skopeo copy", NeedsAProgram("skopeo", "skopeo")),
    ("controller", "--bundle-key release.pub", NeedsACluster),
    ("controller", "-f policy.yaml", NeedsACluster),
    ("controller", "airlock package rights", NeedsACluster),
    ("controller", "kubectl annotate pbc", NeedsACluster),
    ("controller", "kubectl annotate package ", NeedsACluster),
    ("controller", "kubectl delete validatingwebhookconfiguration", NeedsACluster),
    ("controller", "airlock uninstall controller", NeedsACluster),
    ("packages", "airlock list packages", NeedsACluster),
    ("packages", "kubectl patch pbc", NeedsACluster),
    ("packages", "airlock upgrade packages", NeedsACluster),
    ("push", "oci:layout docker://registry.example/team/app@", NeedsAProgram("skopeo", "skopeo")),
    ("push", "podman push team/app:v1 oci:", NeedsAProgram("podman", "podman")),
    ("push", "docker save", NeedsADaemon),
    ("push", "docker-archive", NeedsAProgram("skopeo", "skopeo")),
    ("push", "helm push hello-0.1.0.tgz oci://127.0.0.1", NeedsAProgram("helm", "helm")),
    ("push", "registry.example/team/two@", NeedsAProgram("cosign", "cosign2")),
    ("push", "registry.example/team/three@", NeedsAProgram("cosign", "cosign3")),
    ("push", "inbox.example/team/app@", NeedsAProgram("cosign", "cosign2")),
    ("push", "docker push inbox.example", NeedsADaemon),
    ("push", "helm push hello-0.1.0.tgz oci://inbox.example", NeedsAProgram("helm", "helm")),
    ("push", "inbox.example/charts/hello@", NeedsAProgram("cosign", "cosign3")),
    ("signing", "pkcs11:", NeedsAToken),
    ("signing", "cargo build", BuildsFromSource),
    ("signing", "--insecure-ignore-tlog \\", NeedsAProgram("cosign", "cosign3")),
    ("signing", "--trusted-root", NeedsAProgram("cosign", "cosign2")),
    ("signing", "cosign signing-config", NeedsAProgram("cosign", "cosign3")),
    ("signing", "cosign sign-blob --key release.key --new-bundle-format", NeedsAProgram("cosign", "cosign2")),
];

/// The blocks of one page.
struct Page {
    name: String,
    /// Command blocks by the number of their first line.
    blocks: BTreeMap<usize, String>,
    yaml: Vec<String>,
}

impl Page {
    /// Reads fenced command blocks, and commands in the second column of tables whose header is `command`.
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut page = Self { name, blocks: BTreeMap::new(), yaml: Vec::new() };
        let mut lines = text.lines().enumerate();
        let mut listed = false;
        while let Some((number, line)) = lines.next() {
            if let Some(language) = line.strip_prefix("```") {
                let block = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
                let block: String = block.map(|line| format!("{line}\n")).collect();
                match language {
                    "sh" | "bash" => drop(page.blocks.insert(number + 2, block)),
                    "yaml" => page.yaml.push(block),
                    "" | "json" => {}
                    _ => panic!("{}:{}: a block in `{language}`", path.display(), number + 1),
                }
                continue;
            }
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            listed = cells.len() > 2 && (listed || cells[2] == "command");
            let command = cells.get(2).and_then(|cell| cell.strip_prefix('`')?.strip_suffix('`'));
            if let Some(command) = command.filter(|_| listed) {
                page.blocks.insert(number + 1, format!("{command}\n"));
            }
        }
        page
    }

    fn exempt(&self, block: &str) -> Option<Exempt> {
        let mut known = EXEMPT.iter().filter(|(page, text, _)| *page == self.name && block.contains(text));
        known.next().map(|(_, _, reason)| *reason)
    }

    /// Writes the blocks into the folder; returns for each block whether it is run, and its exemption.
    fn write(&self, folder: &Path) -> Vec<(bool, Option<Exempt>)> {
        for name in ["blocks", "yaml"] {
            std::fs::create_dir(folder.join(name)).unwrap();
        }
        for (number, yaml) in (1..).zip(&self.yaml) {
            std::fs::write(folder.join(format!("yaml/{number}.yaml")), yaml).unwrap();
        }
        let write = |(number, block): (&usize, &String)| {
            let exempt = self.exempt(block);
            let (run, ending) = match exempt {
                None => (true, "sh"),
                Some(NeedsACluster) => (false, "cluster"),
                Some(NeedsAToken | NeedsADaemon | BuildsFromSource) => return (false, exempt),
                Some(NeedsAProgram(called, program)) => {
                    let Some(program) = installed(program) else { return (false, exempt) };
                    let programs = folder.join(format!("blocks/{number}.bin"));
                    std::fs::create_dir(&programs).unwrap();
                    symlink(program, programs.join(called)).unwrap();
                    (true, "sh")
                }
            };
            std::fs::write(folder.join(format!("blocks/{number}.{ending}")), block).unwrap();
            (run, exempt)
        };
        self.blocks.iter().map(write).collect()
    }

    /// Runs all blocks; the error is the output of the sandbox about the blocks that failed.
    fn run(&self) -> Result<Vec<(bool, Option<Exempt>)>, String> {
        let folder = tempfile::tempdir().unwrap();
        let blocks = self.write(folder.path());
        let sandbox = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/documented/sandbox");
        let output = apart()
            .arg(sandbox)
            .arg(&self.name)
            .arg(folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("AIRLOCK", AIRLOCK)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(blocks) } else { Err(said.into_owned()) }
    }
}

/// A command in new namespaces; all of its processes end with it.
fn apart() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        command.arg("--map-root-user");
    }
    command
}

/// Returns the path of the program. If it is not installed, prints that and returns `None`.
fn installed(name: &str) -> Option<PathBuf> {
    let program = programs::program(name);
    if program.is_absolute() {
        return Some(program);
    }
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.exists());
    if found.is_none() {
        programs::missing(name);
    }
    found
}

fn pages() -> Vec<Page> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let paths = docs.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    std::iter::once(root.join("README.md")).chain(paths).map(|path| Page::read(&path)).collect()
}

#[test]
fn every_exemption_matches_exactly_one_block() {
    let pages = pages();
    for (page, text, reason) in &EXEMPT {
        let blocks = pages.iter().filter(|known| known.name == *page).flat_map(|known| known.blocks.values());
        assert_eq!(blocks.filter(|block| block.contains(text)).count(), 1, "{page}: {text}: {reason:?}");
    }
    for page in &pages {
        for (number, block) in &page.blocks {
            let known = EXEMPT.iter().filter(|(name, text, _)| *name == page.name && block.contains(text));
            assert!(known.count() < 2, "{}:{number} is exempt twice", page.name);
        }
    }
}

/// Runs these pages, four at a time. If that is not possible, prints that and returns `None`.
fn run(pages: &[Page]) -> Option<Vec<(bool, Option<Exempt>)>> {
    if !programs::require(&NEEDED) {
        return None;
    }
    if !apart().arg("true").status().unwrap().success() {
        programs::missing("the permission to create mount and network namespaces");
        return None;
    }
    let (mut blocks, mut failed) = (Vec::new(), String::new());
    for some in pages.chunks(4) {
        std::thread::scope(|scope| {
            let running: Vec<_> = some.iter().map(|page| scope.spawn(|| page.run())).collect();
            for page in running {
                match page.join().unwrap() {
                    Ok(more) => blocks.extend(more),
                    Err(said) => failed += &said,
                }
            }
        });
    }
    assert!(failed.is_empty(), "{failed}");
    Some(blocks)
}

/// `documented/controller.sh` serves the registry as described in `serve.md`, and the installation pushes to it.
#[test]
fn o14_the_documented_installation_pushes_to_the_documented_registry() {
    let pages: Vec<_> = pages().into_iter().filter(|page| page.name == "controller").collect();
    assert_eq!(pages.len(), 1);
    run(&pages);
}

/// The blocks of this page depend on one another, so all of its programs must be installed.
#[test]
fn r8_the_documented_push_of_each_tool_through_the_gate_runs_as_it_is_written() {
    if !programs::require(&["skopeo", "podman", "helm", "cosign2", "cosign3"]) {
        return;
    }
    let pages: Vec<_> = pages().into_iter().filter(|page| page.name == "push").collect();
    let Some(blocks) = run(&pages) else { return };
    assert_eq!(blocks.iter().filter(|(run, _)| *run).count(), 10);
}

#[test]
fn o25_every_block_of_commands_in_the_documentation_runs_as_it_is_written() {
    let apart = ["controller", "push"];
    let pages: Vec<_> = pages().into_iter().filter(|page| !apart.contains(&page.name.as_str())).collect();
    let Some(blocks) = run(&pages) else { return };
    let run = blocks.iter().filter(|(run, _)| *run).count();
    let exempt = |reason| blocks.iter().filter(|(run, exempt)| !run && *exempt == Some(reason)).count();
    let absent =
        blocks.iter().filter(|(run, reason)| !run && matches!(reason, Some(NeedsAProgram(..)))).count();
    println!(
        "{} blocks of {} pages: {run} run; {} need a cluster, {} a token, {absent} a program that is not installed; {} build from source",
        blocks.len(),
        pages.len(),
        exempt(NeedsACluster),
        exempt(NeedsAToken),
        exempt(BuildsFromSource)
    );
    assert!(run + absent >= FLOOR, "only {run} blocks were run");
}
