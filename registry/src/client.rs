//! The client's side of the distribution protocol.
