//! Reports and explanations of logs that are made here.

#[cfg(test)]
mod explain;
#[cfg(test)]
mod findings;
#[cfg(test)]
mod log;
#[cfg(test)]
mod written;
