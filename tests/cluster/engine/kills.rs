//! A kill at every call.
