//! A TCP connection that sends parts of files in place of their stand-ins.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::queue::{Queue, is_stand_in};
use crate::server::content::FilePart;

/// The size of a copy if the file system does not support `sendfile`.
const COPY: usize = 64 * 1024;

/// The connection. Its queue is shared with the bodies of its responses.
pub(in crate::server) struct Socket {
    stream: TcpStream,
    queue: Queue,
}

impl Socket {
    pub(in crate::server) fn new(stream: TcpStream) -> Self {
        Self { stream, queue: Queue::default() }
    }

    pub(in crate::server) fn queue(&self) -> &Queue {
        &self.queue
    }

    fn poll_send(&mut self, context: &mut Context<'_>, stand_in: &[u8]) -> Poll<io::Result<usize>> {
        let part = self.queue.next(stand_in)?;
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            let sent = self.stream.try_io(Interest::WRITABLE, || {
                let mut at = part.at;
                Ok(rustix::fs::sendfile(&self.stream, &*part.file, Some(&mut at), stand_in.len())?)
            });
            let sent = match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_unsupported(&error) => ready!(self.poll_copy(context, &part))?,
                sent => sent?,
            };
            if sent == 0 {
                // The file is shorter than it was when its length was sent.
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.queue.sent(sent);
            return Poll::Ready(Ok(sent));
        }
    }

    fn poll_copy(&mut self, context: &mut Context<'_>, part: &FilePart) -> Poll<io::Result<usize>> {
        let mut buffer = vec![0; usize::try_from(part.len).unwrap_or(COPY).min(COPY)];
        let count = rustix::io::pread(&*part.file, &mut buffer, part.at)?;
        if count == 0 {
            return Poll::Ready(Ok(0));
        }
        Pin::new(&mut self.stream).poll_write(context, &buffer[..count])
    }
}

/// Whether the error means that this kind of file cannot be sent by the kernel.
fn is_unsupported(error: &io::Error) -> bool {
    let error = Errno::from_io_error(error);
    matches!(error, Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP))
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.queue.is_broken() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if is_stand_in(bytes) {
            return self.poll_send(context, bytes);
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.queue.is_broken() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let first = bytes.iter().find(|bytes| !bytes.is_empty());
        if let Some(first) = first.filter(|first| is_stand_in(first)) {
            return self.poll_send(context, first);
        }
        let before = bytes.iter().take_while(|bytes| !is_stand_in(bytes)).count();
        Pin::new(&mut self.stream).poll_write_vectored(context, &bytes[..before])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
