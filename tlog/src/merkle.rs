//! Roots and proofs of the tree, and their verification (RFC 6962 section 2.1, RFC 9162 sections 2.1.3 and 2.1.4).

use crate::{Error, Hash, Result};

/// The longest valid proof: no tree has more than 2^63 entries.
pub const LONGEST: usize = 64;

/// A source of the hashes of complete subtrees.
pub trait Nodes {
    /// The hash over the entries from `index << level` on, `1 << level` of them.
    ///
    /// # Errors
    /// When the hash cannot be read.
    fn node(&self, level: u8, index: u64) -> Result<Hash>;
}

/// The root of the first `size` entries.
///
/// # Errors
/// When a hash cannot be read.
pub fn root(nodes: &dyn Nodes, size: u64) -> Result<Hash> {
    if size == 0 { Ok(Hash::empty()) } else { range(nodes, 0, size) }
}

/// Proves that entry `index` is among the first `size`: siblings from the leaf up.
///
/// # Errors
/// [`Error::NoEntry`], or when a hash cannot be read.
pub fn prove_inclusion(nodes: &dyn Nodes, index: u64, size: u64) -> Result<Vec<Hash>> {
    if index >= size {
        return Err(Error::NoEntry { index, size });
    }
    let mut proof = Vec::new();
    let (mut begin, mut end) = (0, size);
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            proof.push(range(nodes, middle, end)?);
            end = middle;
        } else {
            proof.push(range(nodes, begin, middle)?);
            begin = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Proves that the tree of the first `new` entries extends that of the first `old` entries.
///
/// # Errors
/// [`Error::NoEntry`] when `old` is larger than `new`, or when a hash cannot be read.
pub fn prove_consistency(nodes: &dyn Nodes, old: u64, new: u64) -> Result<Vec<Hash>> {
    if old > new {
        return Err(Error::NoEntry { index: old, size: new });
    }
    let mut proof = Vec::new();
    if old == 0 || old == new {
        return Ok(proof);
    }
    let (mut begin, mut end) = (0, new);
    let mut whole = true;
    while old != end {
        let middle = begin + split(end - begin);
        if old <= middle {
            proof.push(range(nodes, middle, end)?);
            end = middle;
        } else {
            proof.push(range(nodes, begin, middle)?);
            begin = middle;
            whole = false;
        }
    }
    if !whole {
        proof.push(range(nodes, begin, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that `leaf` is entry `index` of the tree of `size` entries with this root (RFC 9162 section 2.1.3.2).
///
/// # Errors
/// [`Error::Proof`] when the proof is invalid.
pub fn check_inclusion(leaf: Hash, index: u64, size: u64, proof: &[Hash], root: Hash) -> Result<()> {
    if index >= size {
        return Err(Error::Proof("the index is beyond the tree"));
    }
    let (mut position, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return Err(Error::Proof("it is too long"));
        }
        if position & 1 == 1 || position == last {
            hash = Hash::node(*sibling, hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = Hash::node(hash, *sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(Error::Proof("it is too short"));
    }
    if hash == root { Ok(()) } else { Err(Error::Proof("it leads to a different root")) }
}

/// The state of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// The number of entries.
    pub size: u64,
    /// The root hash over them.
    pub root: Hash,
}

/// Checks that the tree `new` extends the tree `old` (RFC 9162 section 2.1.4.2).
///
/// # Errors
/// [`Error::Proof`] when the proof is invalid.
pub fn check_consistency(old: TreeHead, new: TreeHead, proof: &[Hash]) -> Result<()> {
    let TreeHead { size: old_size, root: old_root } = old;
    let TreeHead { size: new_size, root: new_root } = new;
    if old_size > new_size {
        return Err(Error::Proof("the tree became smaller"));
    }
    if old_size == 0 || old_size == new_size {
        let same = if old_size == 0 { old_root == Hash::empty() } else { old_root == new_root };
        return match (same, proof.is_empty()) {
            (true, true) => Ok(()),
            (false, _) => Err(Error::Proof("the roots differ")),
            (true, false) => Err(Error::Proof("it is too long")),
        };
    }
    let mut rest = proof.iter();
    let first = if old_size.is_power_of_two() { old_root } else { *next(&mut rest)? };
    let shift = (old_size - 1).trailing_ones();
    let (mut position, mut last) = ((old_size - 1) >> shift, (new_size - 1) >> shift);
    let (mut old_hash, mut new_hash) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(Error::Proof("it is too long"));
        }
        if position & 1 == 1 || position == last {
            old_hash = Hash::node(*sibling, old_hash);
            new_hash = Hash::node(*sibling, new_hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = Hash::node(new_hash, *sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(Error::Proof("it is too short"));
    }
    if old_hash != old_root {
        return Err(Error::Proof("it leads to a different old root"));
    }
    if new_hash == new_root { Ok(()) } else { Err(Error::Proof("it leads to a different root")) }
}

fn next<'a>(rest: &mut impl Iterator<Item = &'a Hash>) -> Result<&'a Hash> {
    rest.next().ok_or(Error::Proof("it is too short"))
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// The hash over the entries from `begin` to `end`; `begin` lies on a boundary of the subtree's size.
fn range(nodes: &dyn Nodes, begin: u64, end: u64) -> Result<Hash> {
    let count = end - begin;
    if count.is_power_of_two() {
        let level = count.trailing_zeros();
        return nodes.node(u8::try_from(level).unwrap_or(u8::MAX), begin >> level);
    }
    let middle = begin + split(count);
    Ok(Hash::node(range(nodes, begin, middle)?, range(nodes, middle, end)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Leaves(Vec<Hash>);

    impl Nodes for Leaves {
        fn node(&self, level: u8, index: u64) -> Result<Hash> {
            if level == 0 {
                return Ok(self.0[usize::try_from(index).unwrap()]);
            }
            Ok(Hash::node(self.node(level - 1, index * 2)?, self.node(level - 1, index * 2 + 1)?))
        }
    }

    /// RFC 6962's definition, word for word.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::empty(),
            [leaf] => *leaf,
            _ => {
                let k = leaves.len().next_power_of_two() / 2;
                Hash::node(defined(&leaves[..k]), defined(&leaves[k..]))
            }
        }
    }

    fn tree(size: u64) -> Leaves {
        Leaves((0..size).map(|number| Hash::leaf(&number.to_be_bytes())).collect())
    }

    #[test]
    fn the_root_matches_the_definition() {
        for size in 0..70 {
            let tree = tree(size);
            assert_eq!(root(&tree, size).unwrap(), defined(&tree.0));
        }
    }

    #[test]
    fn in_small_trees_every_true_proof_is_accepted_and_every_false_one_is_refused() {
        let tree = tree(40);
        for size in 1..40 {
            let top = root(&tree, size).unwrap();
            for index in 0..size {
                let proof = prove_inclusion(&tree, index, size).unwrap();
                let leaf = tree.0[usize::try_from(index).unwrap()];
                check_inclusion(leaf, index, size, &proof, top).unwrap();
                assert!(check_inclusion(leaf, index ^ 1, size, &proof, top).is_err() || size == 1);
                assert!(check_inclusion(Hash::empty(), index, size, &proof, top).is_err());
                if let Some(shorter) = proof.get(1..) {
                    assert!(check_inclusion(leaf, index, size, shorter, top).is_err());
                }
                let longer = [&proof[..], &[top]].concat();
                assert!(check_inclusion(leaf, index, size, &longer, top).is_err());
            }
            let new = TreeHead { size, root: top };
            for old in 0..=size {
                let proof = prove_consistency(&tree, old, size).unwrap();
                let old = TreeHead { size: old, root: root(&tree, old).unwrap() };
                check_consistency(old, new, &proof).unwrap();
                let other = Hash::leaf(b"other");
                assert!(check_consistency(TreeHead { root: other, ..old }, new, &proof).is_err());
                let changed = check_consistency(old, TreeHead { root: other, ..new }, &proof);
                assert!(changed.is_err() || old.size == 0);
                let longer = [&proof[..], &[top]].concat();
                assert!(check_consistency(old, new, &longer).is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_proofs_never_panic(index: u64, size: u64, bytes: Vec<[u8; 32]>) {
            let proof: Vec<_> = bytes.into_iter().map(Hash::from_bytes).collect();
            let root = Hash::empty();
            let _ = check_inclusion(root, index, size, &proof, root);
            let _ = check_consistency(TreeHead { size: index, root }, TreeHead { size, root }, &proof);
        }
    }
}
