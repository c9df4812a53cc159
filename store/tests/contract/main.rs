//! Tests of the store's guarantees: the order of its steps, what a failure at any step leaves, and that it can be rebuilt.

#[cfg(test)]
mod backup;
#[cfg(test)]
mod collect;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod governed;
#[cfg(test)]
mod heal;
#[cfg(test)]
mod history;
#[cfg(test)]
mod inbox;
#[cfg(test)]
mod order;
#[cfg(test)]
mod power;
#[cfg(test)]
mod private;
#[cfg(test)]
mod race;
#[cfg(test)]
mod recent;
#[cfg(test)]
mod referrers;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod scrub;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod small;
#[cfg(test)]
mod upkeep;
#[cfg(test)]
mod wanted;
