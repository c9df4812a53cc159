//! SIGKILL at many points of mirror, pack and import. When run again, each command completes, and the result equals that of
//! an uninterrupted run.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use oci::Digest;

use crate::corpus::{ImageFormat, ImageSpec, Upstream};
use crate::eksd::without_signature;
use crate::rig::{Server, airlock, dump, files, make_keys, run, serve};

/// The number of kill points for each of the three commands. A run that ends before its point is not counted.
const POINTS: u64 = 42;
const FLOOR: usize = 100;

#[test]
fn a_command_that_is_killed_at_any_point_and_run_again_gives_the_same_result() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let upstream = fill(root);
    std::fs::write(root.join("airlock.yaml"), config(&upstream.address)).unwrap();
    make_keys(root);

    let mut hit = Vec::new();
    hit.extend(walk(root, "mirror", &|number| mirror(number), &|root, number| {
        (
            dump(&root.join(format!("near{number}"))).into_iter().collect(),
            read(root, &format!("lock{number}")),
        )
    }));
    hit.extend(walk(root, "pack", &|number| pack(number), &|root, number| {
        (volumes(root, number), Vec::new())
    }));
    hit.extend(walk(root, "import", &|number| import(number), &|root, number| {
        (dump(&root.join(format!("far{number}"))).into_iter().collect(), Vec::new())
    }));
    for (verb, bytes) in &hit {
        println!("killed {verb} after {bytes} bytes written");
    }
    println!("{} points hit", hit.len());
    assert!(hit.len() >= FLOOR, "only {} points were hit", hit.len());
}

type State = (Vec<String>, Vec<u8>);

/// Runs without interruption as number 0, then for each point: kill, run again, compare.
fn walk(
    root: &Path,
    verb: &'static str,
    command: &dyn Fn(u64) -> Vec<String>,
    state: &dyn Fn(&Path, u64) -> State,
) -> Vec<(&'static str, u64)> {
    prepare(root, 0);
    let total = written_until_end(root, &command(0), u64::MAX).1;
    let wanted = state(root, 0);
    assert!(!wanted.0.is_empty());
    let mut hit = Vec::new();
    for point in 1..=POINTS {
        prepare(root, point);
        let threshold = total * point / (POINTS + 1);
        let (killed, written) = written_until_end(root, &command(point), threshold);
        if killed {
            hit.push((verb, written));
        }
        run(root, &strings(&command(point)));
        let found = state(root, point);
        assert!(found == wanted, "{verb} killed after {written} bytes: the result differs");
        cleanup(root, point);
    }
    hit
}

fn prepare(root: &Path, number: u64) {
    std::fs::create_dir_all(root.join(format!("drive{number}"))).unwrap();
}

fn cleanup(root: &Path, number: u64) {
    for name in ["near", "far", "drive"] {
        let _ = std::fs::remove_dir_all(root.join(format!("{name}{number}")));
    }
}

/// Starts the command and kills it when it has written `threshold` bytes (as counted by the kernel, including sockets and
/// pipes). Returns whether it was killed, and how much it had written.
fn written_until_end(root: &Path, arguments: &[String], threshold: u64) -> (bool, u64) {
    let mut child =
        airlock(root, &strings(arguments)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let counters = format!("/proc/{}/io", child.id());
    let mut written = 0;
    loop {
        if let Some(now) = std::fs::read_to_string(&counters).ok().and_then(|text| {
            text.lines().find_map(|line| line.strip_prefix("wchar: ").and_then(|n| n.parse::<u64>().ok()))
        }) {
            written = now.max(written);
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "airlock {} failed", arguments.join(" "));
            return (false, written);
        }
        if written >= threshold {
            child.kill().unwrap();
            let status = child.wait().unwrap();
            return (!status.success(), written);
        }
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
}

fn mirror(number: u64) -> Vec<String> {
    let (store, lock) = (format!("near{number}"), format!("lock{number}"));
    ["mirror", "-f", "airlock.yaml", "--store", &store, "--lock", &lock].map(str::to_owned).to_vec()
}

fn pack(number: u64) -> Vec<String> {
    let target = format!("drive{number}");
    [
        "pack",
        "--lock",
        "lock0",
        "--store",
        "near0",
        "--to",
        &target,
        "--key",
        "release.key",
        "--volume-size",
        "3MiB",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn import(number: u64) -> Vec<String> {
    let store = format!("far{number}");
    ["import", "drive0", "--trust", "trust.yaml", "--store", &store].map(str::to_owned).to_vec()
}

fn strings(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn read(root: &Path, name: &str) -> Vec<u8> {
    std::fs::read(root.join(name)).unwrap()
}

/// Every file on the medium except those of the log, which grows with each pack. Volumes are compared by their bytes
/// without the signature, other files by name.
fn volumes(root: &Path, number: u64) -> Vec<String> {
    let medium = root.join(format!("drive{number}"));
    let by_name: BTreeMap<String, Option<Digest>> = files(&medium)
        .iter()
        .filter(|path| !path.starts_with(medium.join("log")))
        .map(|path| {
            let volume = path.extension().is_some_and(|extension| extension == "tar");
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, volume.then(|| without_signature(path)))
        })
        .collect();
    by_name.into_iter().map(|(name, digest)| format!("{name} {digest:?}")).collect()
}

/// An upstream that is airlock's own registry, filled by pushes.
fn fill(root: &Path) -> Server {
    std::fs::create_dir(root.join("upstream")).unwrap();
    let server = serve(root, "upstream");
    let upstream = Upstream { address: server.address.clone() };
    for number in 0..8 {
        let spec = ImageSpec::new(number + 1, 700_000, ImageFormat::of(usize::try_from(number).unwrap()));
        let (index, _) = upstream.push_index(&format!("team/app{number}"), "v1", &spec);
        if number == 0 {
            upstream.push_signature_tag("team/app0", &index.digest);
        }
    }
    server
}

fn config(upstream: &str) -> String {
    let images: String = (0..8).map(|n| format!("      - registry.example/team/app{n}:v1\n")).collect();
    format!(
        "apiVersion: airlock.dev/v1alpha1
kind: MirrorConfig
metadata:
  name: killed
platforms: [linux/amd64, linux/arm64]
registries:
  - host: registry.example
    mirror: {upstream}
    plainHTTP: true
sources:
  - images:
{images}"
    )
}
