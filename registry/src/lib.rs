//! The OCI distribution protocol, both ends: server and client.
