//! The media format from both sides: what is written is read, and nothing else is.

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod log;
#[cfg(test)]
mod log_rig;
#[cfg(test)]
mod returned;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod tamper;
#[cfg(test)]
mod whole;
