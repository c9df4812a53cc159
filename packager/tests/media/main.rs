//! The media format from both sides: readers accept what writers write, and nothing else.

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
