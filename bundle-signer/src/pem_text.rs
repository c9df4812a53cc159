//! Text that is exactly one PEM block.

use pem::{EncodeConfig, LineEnding, Pem};

use crate::{Error, Result};

/// The text of a key is under 1 KiB; the limit prevents the decoding of a large, wrong file.
const MAX_LEN: usize = 64 * 1024;

/// Reads a text that is one PEM block. White space around it is allowed; other text or a second block is not,
/// because two programs could read different keys from one file.
pub(crate) fn decode(text: &str) -> Result<Pem> {
    if text.len() > MAX_LEN {
        return Err(Error::PemTooLarge(text.len()));
    }
    let text = text.trim();
    let once = |marker: &str| text.matches(marker).count() == 1;
    if !text.starts_with("-----BEGIN ") || !once("-----BEGIN ") || !once("-----END ") {
        return Err(Error::PemShape);
    }
    let block = pem::parse(text).map_err(Error::Pem)?;
    if !text.ends_with(&format!("-----END {}-----", block.tag())) || block.headers().iter().next().is_some() {
        return Err(Error::PemShape);
    }
    Ok(block)
}

/// PEM with the line endings that Go writes.
pub(crate) fn encode(kind: &str, contents: Vec<u8>) -> String {
    pem::encode_config(&Pem::new(kind, contents), EncodeConfig::new().set_line_ending(LineEnding::LF))
}
