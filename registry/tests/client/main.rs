//! The client against airlock's own server, Debian's `docker-registry`, and servers that misbehave.

#[cfg(test)]
mod lying;
#[cfg(test)]
mod round_trip;
