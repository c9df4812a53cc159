//! Limits on I/O and memory: for a corpus of more than one GiB, every byte is written once and read once, no temporary copy
//! is made, and memory use does not grow with the size of the artifacts.

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::path::Path;
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    const AIRLOCK: &str = env!("CARGO_BIN_EXE_airlock");
    const MIB: u64 = 1 << 20;
    const FILES: u64 = 4;
    const FILE_SIZE: u64 = 260 * MIB;
    const MOST_MEMORY: u64 = 128 * MIB;

    /// The resources that a process used, as last observed before it ended.
    #[derive(Clone, Copy, Debug, Default)]
    struct Use {
        read: u64,
        written: u64,
        memory: u64,
    }

    fn field(text: &str, name: &str) -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    fn look(child: &Child, so_far: Use) -> Use {
        let read =
            |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", child.id())).unwrap_or_default();
        let (io, status) = (read("io"), read("status"));
        Use {
            read: so_far.read.max(field(&io, "rchar:")),
            written: so_far.written.max(field(&io, "wchar:")),
            memory: so_far.memory.max(field(&status, "VmHWM:") * 1024),
        }
    }

    fn start(folder: &Path, arguments: &[&str]) -> Child {
        Command::new(AIRLOCK)
            .args(arguments)
            .current_dir(folder)
            .env("AIRLOCK_KEY_PASSWORD", "x")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn watch(folder: &Path, arguments: &[&str]) -> Use {
        let mut child = start(folder, arguments);
        let mut seen = Use::default();
        loop {
            seen = look(&child, seen);
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{arguments:?}");
                return seen;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Writes incompressible bytes, different for each seed.
    fn noise(path: &Path, seed: u64) {
        let mut file = File::create(path).unwrap();
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut block = vec![0; 1 << 20];
        for _ in 0..FILE_SIZE / MIB {
            for word in block.chunks_exact_mut(8) {
                state ^= state >> 12;
                state ^= state << 25;
                state ^= state >> 27;
                word.copy_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
            }
            file.write_all(&block).unwrap();
        }
    }

    fn size(folder: &Path) -> u64 {
        let sizes = std::fs::read_dir(folder).unwrap().map(|entry| {
            let entry = entry.unwrap();
            if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().unwrap().len() }
        });
        sizes.sum()
    }

    fn ratio(part: u64, whole: u64) -> String {
        format!("{}.{:03}", part / whole, part % whole * 1000 / whole)
    }

    /// Downloads a blob and discards it; returns its size.
    fn download(address: &str, path: &str) -> u64 {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut buffer = vec![0; 1 << 16];
        let mut total = 0;
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => return total,
                count => total += count as u64,
            }
        }
    }

    /// Serves a store while `during` runs with its address; returns the resources that the server used.
    fn serving(folder: &Path, store: &str, during: impl FnOnce(&str)) -> Use {
        let file = folder.join(format!("{store}.address"));
        let name = file.to_str().unwrap();
        let mut child =
            start(folder, &["serve", "--store", store, "--listen", "127.0.0.1:0", "--address-file", name]);
        let mut address = String::new();
        for _ in 0..200 {
            if let Ok(text) = std::fs::read_to_string(&file) {
                text.trim().trim_start_matches("http://").clone_into(&mut address);
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        during(&address);
        let seen = look(&child, Use::default());
        let _ = child.kill();
        let _ = child.wait();
        seen
    }

    #[test]
    fn io_and_memory_stay_within_their_limits() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let mut sources = String::new();
        for number in 0..FILES {
            noise(&root.join(format!("file{number}")), number + 1);
            sources += &format!("      - path: file{number}\n");
        }
        let head = "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {name: large}\n";
        std::fs::write(root.join("airlock.yaml"), format!("{head}sources:\n  - files:\n{sources}")).unwrap();
        for keys in [&["keys", "generate", "k"][..], &["keys", "trust", "k.pub", "--to", "t.yaml"]] {
            watch(root, keys);
        }
        let mirrored = watch(root, &["mirror", "--store", "near"]);
        let fetched = over_the_network(root, head);
        let pack = ["pack", "--store", "near", "--to", "drive", "--key", "k.key"];
        let packed = watch(root, &pack);
        let bundle = size(&root.join("drive"));
        assert!(
            bundle > FILES * FILE_SIZE && bundle < FILES * FILE_SIZE + 4 * MIB,
            "{bundle}: a temporary copy was left"
        );
        let imported = watch(root, &["import", "drive", "--trust", "t.yaml", "--store", "far"]);
        let kept = size(&root.join("far"));
        assert!(kept < bundle + 4 * MIB, "{kept}: a temporary copy was left");
        let path = format!("/v2/files/blobs/{}", blob_digest(root));
        let served = serving(root, "far", |address| {
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| assert!(download(address, &path) > FILE_SIZE));
                }
            });
        });
        println!(
            "pack writes {} of the bundle, import reads {} and writes {}",
            ratio(packed.written, bundle),
            ratio(imported.read, bundle),
            ratio(imported.written, bundle)
        );
        assert!(packed.written * 100 <= bundle * 102, "{packed:?}");
        assert!(imported.read * 100 <= bundle * 102, "{imported:?}");
        assert!(imported.written * 100 <= bundle * 105, "{imported:?}");
        for (verb, seen) in [
            ("mirror", mirrored),
            ("mirror from a registry", fetched),
            ("pack", packed),
            ("import", imported),
            ("serve", served),
        ] {
            println!("{verb}: peak memory {} MiB", seen.memory / MIB);
            assert!(seen.memory > 0 && seen.memory <= MOST_MEMORY, "{verb}: {seen:?}");
        }
    }

    /// Serves the store that was just mirrored, and mirrors it from there.
    fn over_the_network(root: &Path, head: &str) -> Use {
        let mut seen = Use::default();
        serving(root, "near", |address| {
            let images: String = (0..FILES).map(|n| format!("      - up.example/files:file{n}\n")).collect();
            let text = format!(
                "{head}registries: [{{host: up.example, mirror: '{address}', plainHTTP: true}}]\nsources:\n  - images:\n{images}"
            );
            std::fs::write(root.join("network.yaml"), text).unwrap();
            seen = watch(root, &["mirror", "-f", "network.yaml", "--store", "copy", "--lock", "copy.lock"]);
        });
        std::fs::remove_dir_all(root.join("copy")).unwrap();
        seen
    }

    fn blob_digest(root: &Path) -> String {
        let lock: serde_json::Value =
            serde_json::from_slice(&std::fs::read(root.join("airlock.lock")).unwrap()).unwrap();
        let blobs = lock["repositories"][0]["manifests"][0]["blobs"].as_array().unwrap().clone();
        let large = blobs.iter().find(|blob| blob["size"].as_u64() == Some(FILE_SIZE)).unwrap();
        large["digest"].as_str().unwrap().to_owned()
    }
}
