//! The classes of errors, by what the user can do about them.
//!
//! Every error type of the workspace implements [`Classified`] with an exhaustive match, so that a new variant does not
//! compile until someone decides its class. A variant that only wraps another error has the class of that error. The command
//! line maps classes to exit codes and knows nothing else about errors.
//!
//! `error -> Class`

use std::fmt;
use std::io;

/// What kind of failure an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The arguments or the configuration are invalid.
    Usage,
    /// A signature, a policy or a check rejects the content.
    Refused,
    /// A named item does not exist.
    Missing,
    /// No space left.
    NoRoom,
    /// A network or a server failed, or refused the request.
    Network,
    /// A log was rolled back or forked, or a drive was replayed.
    Alarm,
    /// Anything else.
    Other,
}

/// An error that has a class.
pub trait Classified: std::error::Error {
    /// The class of the error.
    fn class(&self) -> Class;
}

impl Class {
    /// This class, or `other` if this is [`Class::Other`].
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self == Self::Other { other } else { self }
    }
}

/// A message with a class, for errors that can wrap any other error, such as [`io::Error`].
#[derive(Debug)]
pub struct Message {
    class: Class,
    text: String,
}

impl Message {
    /// Makes a message from its class and text.
    #[must_use]
    pub fn new(class: Class, text: String) -> Self {
        Self { class, text }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Message {}

impl Classified for Message {
    fn class(&self) -> Class {
        self.class
    }
}

impl Classified for io::Error {
    fn class(&self) -> Class {
        use io::ErrorKind::{NotFound, QuotaExceeded, StorageFull};
        if let Some(message) = self.get_ref().and_then(|inner| inner.downcast_ref::<Message>()) {
            return message.class();
        }
        // The list of kinds is not closed, so this cannot be an exhaustive match.
        let kind = self.kind();
        if kind == NotFound {
            Class::Missing
        } else if matches!(kind, StorageFull | QuotaExceeded) {
            Class::NoRoom
        } else {
            Class::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_exist_is_missing_and_a_full_disk_is_no_room() {
        assert_eq!(io::Error::from(io::ErrorKind::NotFound).class(), Class::Missing);
        assert_eq!(io::Error::from(io::ErrorKind::StorageFull).class(), Class::NoRoom);
        assert_eq!(io::Error::from(io::ErrorKind::QuotaExceeded).class(), Class::NoRoom);
        assert_eq!(io::Error::from(io::ErrorKind::PermissionDenied).class(), Class::Other);
        let stated = Message::new(Class::Usage, "a FIFO".to_owned());
        assert_eq!(io::Error::new(io::ErrorKind::NotFound, stated).class(), Class::Usage);
        assert_eq!(Class::Other.or(Class::Refused), Class::Refused);
        assert_eq!(Class::Missing.or(Class::Refused), Class::Missing);
    }
}
