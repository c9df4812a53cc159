//! The orders in which go-yaml writes the keys of a map: natural, so that `a2` goes before `a10`.
//!
//! Modelled on `keyList.Less` of go-yaml v2 and v3, wrapped numbers included.

/// go-yaml v2's order.
pub(crate) fn natural(a: &str, b: &str) -> bool {
    before(a, b, false)
}

/// go-yaml v3's order, in which a letter after equal digits goes first.
pub(crate) fn natural_v3(a: &str, b: &str) -> bool {
    before(a, b, true)
}

fn before(a: &str, b: &str, digits_matter: bool) -> bool {
    let mut same = 0;
    let mut pairs = a.chars().zip(b.chars());
    let different = pairs.find(|(x, y)| {
        if x == y {
            same += x.len_utf8();
        }
        x != y
    });
    let Some((x, y)) = different else { return a.len() < b.len() };
    let common = a.get(..same).unwrap_or_default();
    if x.is_alphabetic() && y.is_alphabetic() {
        return x < y;
    }
    if x.is_alphabetic() || y.is_alphabetic() {
        let after_digit = digits_matter && common.chars().next_back().is_some_and(is_digit);
        return if after_digit { x.is_alphabetic() } else { y.is_alphabetic() };
    }
    // Zeros after a digit other than zero count; leading ones do not.
    let significant =
        (x == '0' || y == '0') && common.chars().rev().take_while(|c| is_digit(*c)).any(|c| c != '0');
    let (a_number, a_length) = number(a.get(same..).unwrap_or_default(), significant);
    let (b_number, b_length) = number(b.get(same..).unwrap_or_default(), significant);
    if a_number != b_number {
        return a_number < b_number;
    }
    if a_length != b_length {
        return a_length < b_length;
    }
    x < y
}

/// Go's `unicode.IsDigit`, limited to the digits of ASCII and of common scripts.
fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || !c.is_ascii() && c.is_numeric() && !c.is_alphabetic() && decimal(c)
}

/// Whether the character is a decimal digit (category Nd) of the Basic Multilingual Plane.
fn decimal(c: char) -> bool {
    const ZEROS: [u32; 37] = [
        0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50,
        0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40,
        0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x1_04a0,
    ];
    let code = u32::from(c);
    ZEROS.iter().any(|zero| (*zero..zero + 10).contains(&code))
}

/// The number at the beginning of `text`, in Go's wrapping arithmetic, and how many digits it has.
fn number(text: &str, significant: bool) -> (i64, usize) {
    text.chars().take_while(|c| is_digit(*c)).fold((i64::from(significant), 0), |(number, length), digit| {
        let digit = i64::from(u32::from(digit)) - i64::from(u32::from('0'));
        (number.wrapping_mul(10).wrapping_add(digit), length + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_within_keys_count() {
        for pair in ["a2 a10", "a b", "A a", "_ a", "1 a", "a1 a01", "a a1", "a1 ab", "é z"] {
            let (a, b) = pair.split_once(' ').unwrap();
            if pair == "é z" {
                assert!(natural(b, a) && !natural(a, b));
            } else {
                assert!(natural(a, b) && !natural(b, a), "{pair}");
            }
        }
        assert!(natural("1_", "1a") && natural_v3("1a", "1_"));
    }
}
