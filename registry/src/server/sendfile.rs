//! Files on a plain HTTP/1 connection, sent by the kernel (`sendfile`) without a copy in this process.
//!
//! hyper writes bytes of memory only. So a body gives it a stand-in: bytes of one static buffer, whose content is never
//! sent. The body also appends the part of a file that they stand for to the connection's queue. The socket recognizes a
//! stand-in by its address, and sends that part of the file instead. hyper passes bodies on without copying them, because
//! the socket supports vectored writes; it has no more than one body at a time, so the order of stand-ins is the order
//! of the queue. Consecutive stand-ins have different addresses: if one is lost or repeated, the connection is closed.
//!
//! `queue`: the queue and the stand-ins; `socket`: the connection; `body`: the body.

mod body;
mod queue;
mod socket;
#[cfg(test)]
mod tests;

pub(super) use self::body::body;
pub(super) use self::queue::Queue;
pub(super) use self::socket::Socket;
