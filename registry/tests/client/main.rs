//! The client against airlock's own server, Debian's `docker-registry`, and servers that misbehave.

#[cfg(test)]
mod certificates;
#[cfg(test)]
mod counted;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod lying;
#[cfg(test)]
mod round_trip;
