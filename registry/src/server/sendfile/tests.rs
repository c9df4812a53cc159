//! The body, the queue and the socket together, under hyper.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use oci::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Queue, Socket, body};
use crate::server::content::{Content, FilePart, Findings, Part};

struct Ignored;

impl Findings for Ignored {
    fn is_sound(&self) {}
    fn is_damaged(&self, _: &io::Error) {}
}

fn content(file: &Arc<File>, at: u64, len: u64) -> Content {
    let parts = vec![Part::File(FilePart { file: Arc::clone(file), at, len })];
    Content::partial(parts, Digest::sha256(b""), Box::new(Ignored))
}

/// The start of the answer to two pipelined requests for a body.
async fn served(make: impl Fn(Queue) -> (u64, Body) + Send + Sync + 'static) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let socket = Socket::new(listener.accept().await.unwrap().0);
    let queue = socket.queue().clone();
    let service = service_fn(move |_| {
        let (len, body) = make(queue.clone());
        let response = http::Response::builder().header("content-length", len).body(body).unwrap();
        async { Ok::<_, Infallible>(response) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.max_buf_size(64 * 1024);
    let serving = tokio::spawn(builder.serve_connection(TokioIo::new(socket), service));
    client.write_all(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.ok();
    serving.await.unwrap().ok();
    all
}

/// The bodies of the responses, each after its head.
fn bodies(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut bodies = Vec::new();
    while let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
        bytes = &bytes[end + 4..];
        let next = bytes.windows(9).position(|begin| begin == b"HTTP/1.1 ").unwrap_or(bytes.len());
        bodies.push(&bytes[..next]);
        bytes = &bytes[next..];
    }
    bodies
}

#[tokio::test]
async fn bodies_of_text_and_files_arrive_as_they_are() {
    let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let file = Arc::new(File::open(path.path()).unwrap());
    let expected = [b"text", &bytes[100..700_100], b"more", &bytes[..1], &bytes[5..300_000]].concat();
    let len = expected.len() as u64;
    let all = served(move |queue| {
        let part = |at, len| Part::File(FilePart { file: Arc::clone(&file), at, len });
        let text = |text: &'static str| Part::Text(Bytes::from_static(text.as_bytes()));
        let parts = vec![text("text"), part(100, 700_000), text("more"), part(0, 1), part(5, 299_995)];
        (len, body(queue, Content::partial(parts, Digest::sha256(b""), Box::new(Ignored)), ()))
    })
    .await;
    let bodies = bodies(&all);
    assert_eq!(bodies.len(), 2);
    assert!(bodies.iter().all(|body| *body == expected));
}

#[tokio::test]
async fn a_file_that_the_kernel_cannot_send_is_copied() {
    let file = Arc::new(File::open("/proc/self/auxv").unwrap());
    let expected = std::fs::read("/proc/self/auxv").unwrap();
    let elsewhere = tempfile::tempfile().unwrap();
    assert!(rustix::fs::sendfile(&elsewhere, &*file, Some(&mut 0), 10).is_err(), "the kernel can send it");
    let len = expected.len() as u64;
    let all = served(move |queue| (len, body(queue, content(&file, 0, len), ()))).await;
    let bodies = bodies(&all);
    assert_eq!(bodies.len(), 2);
    assert!(bodies.iter().all(|body| *body == expected));
}

#[tokio::test]
async fn a_file_that_is_too_short_closes_the_connection() {
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&path, vec![b'x'; 300_000]).unwrap();
    let file = Arc::new(File::open(path.path()).unwrap());
    let all = served(move |queue| (300_001, body(queue, content(&file, 0, 300_001), ()))).await;
    let bodies = bodies(&all);
    assert_eq!(bodies.len(), 1);
    assert!(bodies[0].len() <= 300_000 && bodies[0].iter().all(|byte| *byte == b'x'));
}

/// Passes on a number of pieces of a body, and then forgets or hides the rest.
struct Faulty {
    inner: Body,
    pieces: usize,
    hides_one: bool,
}

impl http_body::Body for Faulty {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.pieces == 0 {
            if !self.hides_one {
                self.inner = Body::empty();
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'y'; 1_000_000 - 262_144])))));
            }
            let _ = Pin::new(&mut self.inner).poll_frame(context);
        }
        self.pieces = self.pieces.wrapping_sub(1);
        Pin::new(&mut self.inner).poll_frame(context)
    }
}

#[tokio::test]
async fn a_lost_piece_or_a_dropped_body_closes_the_connection_before_anything_else_is_sent() {
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&path, vec![b'x'; 1_000_000]).unwrap();
    for hides_one in [false, true] {
        let file = Arc::new(File::open(path.path()).unwrap());
        let all = served(move |queue| {
            let inner = body(queue, content(&file, 0, 1_000_000), ());
            (1_000_000, Body::new(Faulty { inner, pieces: 1, hides_one }))
        })
        .await;
        let bodies = bodies(&all);
        assert_eq!(bodies.len(), 1, "{hides_one}");
        assert!(bodies[0].len() <= 262_144 && bodies[0].iter().all(|byte| *byte == b'x'), "{hides_one}");
    }
}

#[tokio::test]
async fn what_a_body_holds_is_released_with_it() {
    let (held, file) = (Arc::new(()), Arc::new(File::open("/proc/self/exe").unwrap()));
    let queue = Queue::default();
    let mut body = body(queue.clone(), content(&file, 0, 300_000), Arc::clone(&held));
    assert_eq!(body.size_hint().exact(), Some(300_000));
    let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(!queue.is_broken() && piece.iter().all(|byte| *byte == 0), "it is a stand-in");
    assert_eq!(Arc::strong_count(&held), 2);
    drop(body);
    assert_eq!(Arc::strong_count(&held), 1);
    assert!(queue.is_broken(), "the rest of the body is lost");
}
