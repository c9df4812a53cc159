//! A registry that sends other content than it announced.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cli::airlock;

/// What the server is ready to send; far more than is announced.
const ENDLESS: u64 = 1 << 30;

const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","size":10},"layers":[]}"#;

/// Answers one request; counts the bytes of blobs that the client took.
fn answer(mut stream: TcpStream, manifest: &str, taken: &AtomicU64) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    if first.contains("/manifests/v1") {
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let length = manifest.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{manifest}"
        )
    } else if first.contains("/blobs/") {
        write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        while taken.load(Ordering::SeqCst) < ENDLESS {
            stream.write_all(&[b'x'; 8 << 10])?;
            taken.fetch_add(8 << 10, Ordering::SeqCst);
        }
        Ok(())
    } else {
        write!(stream, "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    }
}

#[test]
fn sizes_beyond_all_bounds_are_no_room_and_no_panic() {
    let digest = |c: &str| format!("sha256:{}", c.repeat(64));
    let blob = |c| format!(r#"{{"mediaType":"a/b","digest":"{}","size":{}}}"#, digest(c), i64::MAX);
    let manifest = MANIFEST.replace(r#""layers":[]"#, &format!(r#""layers":[{},{}]"#, blob("b"), blob("c")));
    let (address, _) = serve(manifest);
    let output = mirror(&address);
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_blob_that_goes_on_beyond_its_size_is_refused_before_it_fills_the_disk() {
    let (address, taken) = serve(MANIFEST.to_owned());
    let output = mirror(&address);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["exitCode"], 3);
    let taken = taken.load(Ordering::SeqCst);
    assert!(taken > 0 && taken < ENDLESS / 4, "{taken}");
}

/// A server of one manifest; counts the bytes of blobs that were taken.
fn serve(manifest: String) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let taken = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&taken);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (manifest, count) = (manifest.clone(), Arc::clone(&count));
            std::thread::spawn(move || answer(stream, &manifest, &count));
        }
    });
    (address, taken)
}

fn mirror(address: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: a}}\n\
         registries: [{{host: r.example, mirror: '{address}', plainHTTP: true}}]\nsources: [{{images: ['r.example/a:v1']}}]\n"
    );
    std::fs::write(folder.path().join("airlock.yaml"), text).unwrap();
    airlock(folder.path(), &["mirror", "--store", "s", "--output", "json"])
}
