//! Texts for people that stay short.

/// The first of many, and how many more there are.
pub(crate) fn few(all: impl ExactSizeIterator<Item = String>, most: usize, between: &str) -> String {
    let more = all.len().saturating_sub(most);
    let mut words: Vec<_> = all.take(most).collect();
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    words.join(between)
}

/// The beginning of a text, of at most so many bytes.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}
