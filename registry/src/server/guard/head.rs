//! Checks the heads of HTTP/1 requests as they arrive, for a case that `hyper` accepts and does not report: a request with
//! both `Content-Length` and `Transfer-Encoding`, whose end two servers in a row may see at different positions.

/// The maximum length of a header name that is compared.
const LONGEST: usize = 24;

/// The head that is arriving.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact about the bytes so far")]
pub(super) struct Heads {
    name: Vec<u8>,
    /// After the colon, or in the request line.
    in_value: bool,
    begun: bool,
    length: bool,
    encoding: bool,
    /// The value of `Content-Length`.
    stated: u64,
    /// The remaining bytes to skip of a body that came with its head.
    body: u64,
    /// A body without a length came with its head: nothing is checked until it ends.
    unknown: bool,
    /// A head had both fields.
    found: bool,
    /// The connection is HTTP/2, which is not checked.
    other: bool,
}

impl Heads {
    /// Whether this is HTTP/1, as far as known.
    pub(super) fn is_http1(&self) -> bool {
        !self.other
    }

    /// Checks bytes that arrive where a head is expected; returns whether a head had both fields.
    pub(super) fn look(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            if self.other || self.unknown {
                break;
            }
            if self.body > 0 {
                self.body -= 1;
                continue;
            }
            self.take(*byte);
        }
        self.found
    }

    /// Ends a request: its body follows, and then another head.
    pub(super) fn end(&mut self) {
        let Self { found, other, .. } = *self;
        *self = Self { found, other, ..Self::default() };
    }

    fn end_head(&mut self) {
        let (body, unknown) = (if self.length { self.stated } else { 0 }, self.encoding);
        self.end();
        (self.body, self.unknown) = (body, unknown);
    }

    fn take(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                if self.begun && !self.in_value && self.name.is_empty() {
                    return self.end_head();
                }
                self.in_value = false;
                self.name.clear();
            }
            b'\r' => {}
            b':' if !self.in_value => {
                let name = self.name.trim_ascii();
                self.length |= name == b"content-length";
                self.encoding |= name == b"transfer-encoding";
                self.found |= self.length && self.encoding;
                self.in_value = true;
            }
            b'0'..=b'9' if self.in_value && self.name.trim_ascii() == b"content-length" => {
                self.stated = self.stated.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
            }
            _ if self.in_value => {}
            _ => {
                self.begun = true;
                if self.name.len() < LONGEST {
                    self.name.push(byte.to_ascii_lowercase());
                }
                // The preface of HTTP/2, which is not a valid request line of HTTP/1.
                self.other |= self.name == b"pri * http/2.0";
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> bool {
        let mut heads = Heads::default();
        text.as_bytes().iter().any(|byte| heads.look(&[*byte])) && Heads::default().look(text.as_bytes())
    }

    #[test]
    fn a20_both_lengths_are_found_in_any_order_and_case() {
        for (text, both) in [
            ("PUT / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", true),
            ("PUT / HTTP/1.1\r\ntransfer-encoding:chunked\r\nHOST: a\r\ncontent-LENGTH:5\r\n\r\n", true),
            ("PUT / HTTP/1.1\ncontent-length: 5\ntransfer-encoding: chunked\n\n", true),
            (
                "PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                false,
            ),
            ("PUT / HTTP/1.1\r\nContent-Length: 5\r\nx: transfer-encoding: chunked\r\n\r\n", false),
            ("PUT /content-length: HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ncontent-length: 1\ntransfer-encoding: x\n", false),
        ] {
            assert_eq!(found(text), both, "{text:?}");
        }
    }
}
