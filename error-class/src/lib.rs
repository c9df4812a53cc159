//! The classes of errors, by what the user can do about them.
//!
//! Every error type of the workspace implements [`Classified`] with an exhaustive match, so that a new variant does not
//! compile until someone decides its class. A variant that only wraps another error has the class of that error. The command
//! line maps classes to exit codes and knows nothing else about errors.
//!
//! One rule applies to everything that a user types or names, such as a file, a key or an object: if it does not exist, the
//! class is [`Class::Missing`]; if it exists and cannot be used, the class is [`Class::Usage`]. [`Class::Refused`] is for
//! content that a signature, a policy or a check judges, such as a drive, an image, or the response of a registry.
//!
//! `error -> Class`

use std::fmt;
use std::io;

/// What kind of failure an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The arguments or the configuration are invalid, or something that the user typed or named cannot be used.
    Usage,
    /// A signature, a policy or a check rejects the content.
    Refused,
    /// Something that the user typed or named does not exist.
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

    /// The class of this failure if it is about something that the user typed or named: what cannot be read as what it was
    /// given for is wrong usage, whatever its content is.
    #[must_use]
    pub fn of_argument(self) -> Self {
        match self {
            Self::Other | Self::Refused => Self::Usage,
            Self::Usage | Self::Missing | Self::NoRoom | Self::Network | Self::Alarm => self,
        }
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
        use io::ErrorKind::{
            AlreadyExists, InvalidFilename, IsADirectory, NotADirectory, NotFound, QuotaExceeded, StorageFull,
        };
        if let Some(message) = self.get_ref().and_then(|inner| inner.downcast_ref::<Message>()) {
            return message.class();
        }
        // The list of kinds is not closed, so this cannot be an exhaustive match.
        let kind = self.kind();
        if kind == NotFound {
            Class::Missing
        } else if matches!(kind, StorageFull | QuotaExceeded) {
            Class::NoRoom
        } else if matches!(kind, AlreadyExists | InvalidFilename | IsADirectory | NotADirectory) {
            // The path names something of another kind than the program needs there.
            Class::Usage
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

    #[test]
    fn o14_what_a_user_names_is_missing_or_wrong_usage() {
        for kind in [io::ErrorKind::AlreadyExists, io::ErrorKind::IsADirectory, io::ErrorKind::NotADirectory]
        {
            assert_eq!(io::Error::from(kind).class(), Class::Usage, "{kind}");
        }
        assert_eq!(Class::Other.of_argument(), Class::Usage);
        assert_eq!(Class::Refused.of_argument(), Class::Usage);
        for class in [Class::Usage, Class::Missing, Class::NoRoom, Class::Network, Class::Alarm] {
            assert_eq!(class.of_argument(), class);
        }
    }
}
