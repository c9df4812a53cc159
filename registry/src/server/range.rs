//! `Range` of downloads (RFC 9110, section 14) and `Content-Range` of upload chunks.

/// The maximum number of ranges in one request; zstd:chunked clients send fewer after a refusal.
pub(super) const MOST_RANGES: usize = 1024;

/// A range of bytes of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) len: u64,
}

impl Span {
    /// `bytes a-b/size`; the span is not empty.
    pub(super) fn content_range(self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.start, self.start + self.len - 1)
    }
}

/// The bytes that a `Range` header requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The whole blob: the header is absent, malformed, has another unit, or requests more bytes than the blob has.
    Whole,
    /// These spans, in the requested order, each within the blob and not empty.
    Spans(Vec<Span>),
    /// No bytes of the blob.
    Unsatisfiable,
    /// More than [`MOST_RANGES`] ranges.
    TooMany,
}

/// One range of the header.
enum Asked {
    Span(Span),
    Outside,
    Malformed,
}

/// The bytes that `header` requests of a blob of `size` bytes.
pub(super) fn wanted(header: &str, size: u64) -> Wanted {
    let Some((unit, set)) = header.split_once('=') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let mut spans = Vec::new();
    for (index, text) in set.split(',').map(str::trim).enumerate() {
        if index == MOST_RANGES {
            return Wanted::TooMany;
        }
        match asked(text, size) {
            Asked::Span(span) => spans.push(span),
            Asked::Outside => {}
            Asked::Malformed => return Wanted::Whole,
        }
    }
    if spans.is_empty() {
        return Wanted::Unsatisfiable;
    }
    // Overlapping ranges could turn a small blob into an endless response.
    let total = spans.iter().fold(0_u64, |total, span| total.saturating_add(span.len));
    if total > size { Wanted::Whole } else { Wanted::Spans(spans) }
}

fn asked(text: &str, size: u64) -> Asked {
    let Some((first, last)) = text.split_once('-') else { return Asked::Malformed };
    match (number(first), number(last)) {
        (None, Some(suffix)) if first.is_empty() => {
            let len = suffix.min(size);
            if len == 0 { Asked::Outside } else { Asked::Span(Span { start: size - len, len }) }
        }
        (Some(start), None) if last.is_empty() => {
            if start < size {
                Asked::Span(Span { start, len: size - start })
            } else {
                Asked::Outside
            }
        }
        // The specification's conformance tests expect that a range that ends before it starts is not satisfiable.
        (Some(start), Some(end)) if start >= size || end < start => Asked::Outside,
        (Some(start), Some(end)) => Asked::Span(Span { start, len: end.min(size - 1) - start + 1 }),
        _ => Asked::Malformed,
    }
}

/// Parses digits only; a number that overflows becomes the largest one.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// The range that a chunk states, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Chunk {
    /// Parses `first-last`; some clients write `bytes first-last/*`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix("bytes").map_or(text, |rest| rest.trim_start_matches(['=', ' ']));
        let text = text.split_once('/').map_or(text, |(range, _)| range);
        let (first, last) = text.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        (first <= last && last < u64::MAX).then_some(Self { first, last })
    }

    pub(super) fn len(self) -> u64 {
        self.last - self.first + 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spans(spans: &[(u64, u64)]) -> Wanted {
        Wanted::Spans(spans.iter().map(|&(start, len)| Span { start, len }).collect())
    }

    #[test]
    fn ranges_of_a_blob_of_2000_bytes() {
        for (header, expected) in [
            ("bytes=500-1499", spans(&[(500, 1000)])),
            ("bytes=500-", spans(&[(500, 1500)])),
            ("bytes=0-", spans(&[(0, 2000)])),
            ("bytes=-500", spans(&[(1500, 500)])),
            ("bytes=-5000", spans(&[(0, 2000)])),
            ("bytes=1000-5000", spans(&[(1000, 1000)])),
            ("bytes=1999-1999", spans(&[(1999, 1)])),
            ("bytes=10-19,0-9,-1", spans(&[(10, 10), (0, 10), (1999, 1)])),
            ("bytes=10-19, 20-29", spans(&[(10, 10), (20, 10)])),
            ("bytes=0-0,5000-6000", spans(&[(0, 1)])),
            ("bytes=0-99999999999999999999999999", spans(&[(0, 2000)])),
            ("Bytes=0-0", spans(&[(0, 1)])),
            ("bytes=2000-5000", Wanted::Unsatisfiable),
            ("bytes=500-0", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=0-1999,0-1999", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=1-2-3", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=0x1-0x2", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(wanted(header, 2000), expected, "{header}");
        }
        assert_eq!(wanted("bytes=0-", 0), Wanted::Unsatisfiable);
        assert_eq!(wanted("bytes=-1", 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn the_number_of_ranges_is_bounded() {
        let header = |count: u64| {
            let set: Vec<String> = (0..count).map(|at| format!("{at}-{at}")).collect();
            format!("bytes={}", set.join(","))
        };
        assert!(matches!(wanted(&header(1024), 4096), Wanted::Spans(spans) if spans.len() == 1024));
        assert_eq!(wanted(&header(1025), 4096), Wanted::TooMany);
    }

    #[test]
    fn chunks_as_clients_write_them() {
        for text in ["0-9", " 0-9", "bytes 0-9/*", "bytes=0-9", "bytes 0-9/10"] {
            assert_eq!(Chunk::parse(text), Some(Chunk { first: 0, last: 9 }), "{text}");
        }
        for text in ["", "-", "9-0", "0-", "-9", "a-b", "0-9-", "0-18446744073709551615", "bytes"] {
            assert_eq!(Chunk::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_header_gives_bytes_outside_the_blob(header in "(bytes=)?[-0-9, a]{0,40}", size in 0_u64..5000) {
            if let Wanted::Spans(spans) = wanted(&header, size) {
                prop_assert!(!spans.is_empty());
                prop_assert!(spans.iter().map(|span| span.len).sum::<u64>() <= size);
                for span in spans {
                    prop_assert!(span.len > 0 && span.start + span.len <= size);
                }
            }
        }

        #[test]
        fn any_text_is_read_without_panic(header: String, size: u64) {
            let _ = wanted(&header, size);
            let _ = Chunk::parse(&header);
        }

        #[test]
        fn a_span_within_the_blob_is_returned_exactly(start in 0_u64..1000, len in 1_u64..1000) {
            let header = format!("bytes={start}-{}", start + len - 1);
            prop_assert_eq!(wanted(&header, 2000), Wanted::Spans(vec![Span { start, len }]));
        }

        #[test]
        fn a_chunk_round_trips(first in 0_u64..u64::MAX / 2, len in 1_u64..u64::MAX / 2) {
            let chunk = Chunk { first, last: first + len - 1 };
            prop_assert_eq!(Chunk::parse(&format!("{}-{}", chunk.first, chunk.last)), Some(chunk));
            prop_assert_eq!(chunk.len(), len);
        }
    }
}
