//! A registry that sends content other than it announced.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cli::airlock;

/// The number of bytes that the server would send; far more than it announces.
const ENDLESS: u64 = 1 << 30;

const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","size":10},"layers":[]}"#;

/// Responds to one request; counts the bytes of blobs that the client read.
fn respond(mut stream: TcpStream, manifest: &str, read: &AtomicU64) -> std::io::Result<()> {
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
        while read.load(Ordering::SeqCst) < ENDLESS {
            stream.write_all(&[b'x'; 8 << 10])?;
            read.fetch_add(8 << 10, Ordering::SeqCst);
        }
        Ok(())
    } else {
        write!(stream, "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    }
}

#[test]
fn absurd_sizes_are_reported_as_no_space_and_cause_no_panic() {
    let digest = |c: &str| format!("sha256:{}", c.repeat(64));
    let blob = |c| format!(r#"{{"mediaType":"a/b","digest":"{}","size":{}}}"#, digest(c), i64::MAX);
    let manifest = MANIFEST.replace(r#""layers":[]"#, &format!(r#""layers":[{},{}]"#, blob("b"), blob("c")));
    let (address, _) = serve(manifest);
    let output = mirror(&address);
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_blob_that_exceeds_its_size_is_refused_before_it_fills_the_disk() {
    let (address, read) = serve(MANIFEST.to_owned());
    let output = mirror(&address);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["exitCode"], 3);
    let read = read.load(Ordering::SeqCst);
    assert!(read > 0 && read < ENDLESS / 4, "{read}");
}

/// Starts a server with one manifest; returns its address and the number of blob bytes that were read.
fn serve(manifest: String) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let read = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&read);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (manifest, count) = (manifest.clone(), Arc::clone(&count));
            std::thread::spawn(move || respond(stream, &manifest, &count));
        }
    });
    (address, read)
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
