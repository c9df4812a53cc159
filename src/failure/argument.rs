//! Errors about what the user typed or named. One rule decides their exit codes: what does not exist is missing, and
//! what exists but cannot be used is wrong usage.

use error_class::{Class, Classified};

/// Wrong usage or configuration, found after parsing.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Usage {
    pub(crate) message: String,
    pub(crate) hint: &'static str,
}

impl Classified for Usage {
    fn class(&self) -> Class {
        Class::Usage
    }
}

/// A rule protects what the user named, and `--force` overrides it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Protected {
    pub(crate) message: String,
    pub(crate) hint: &'static str,
}

impl Classified for Protected {
    fn class(&self) -> Class {
        Class::Refused
    }
}

/// The user named something that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Missing {
    pub(crate) message: String,
    pub(crate) hint: Option<&'static str>,
}

impl Classified for Missing {
    fn class(&self) -> Class {
        Class::Missing
    }
}

/// The user named something that cannot be used as what it was given for. The source is the reason.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Unusable {
    message: String,
    #[source]
    source: anyhow::Error,
}

impl Classified for Unusable {
    fn class(&self) -> Class {
        super::class(&self.source).of_argument()
    }
}

/// Makes an error [`Unusable`].
pub(crate) fn unusable<E: Into<anyhow::Error>>(message: String) -> impl FnOnce(E) -> anyhow::Error {
    move |source| Unusable { message, source: source.into() }.into()
}

/// Arguments that the parser refuses.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Unparsable {
    message: String,
    hint: String,
}

impl Unparsable {
    /// The usual parts of an error: the parser's first paragraph is the message, and the others are the hint.
    pub(crate) fn of(error: &clap::Error) -> Self {
        let hint = "run the command with --help".to_owned();
        if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return Self { message: "a command or an argument is missing".to_owned(), hint };
        }
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let one_line = |part: &str| part.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut parts = text.split("\n\n").map(one_line).filter(|part| !part.is_empty());
        let message = parts.next().unwrap_or_default();
        let more: Vec<_> = parts.filter(|part| !part.starts_with("For more information")).collect();
        Self { message, hint: if more.is_empty() { hint } else { more.join("; ") } }
    }

    pub(super) fn hint(&self) -> &str {
        &self.hint
    }
}

impl Classified for Unparsable {
    fn class(&self) -> Class {
        Class::Usage
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;
    use crate::failure::code;

    #[test]
    fn o14_an_unusable_argument_is_wrong_usage_unless_it_does_not_exist() {
        let about = |source: anyhow::Error| code(&unusable("`a` is not a chart".to_owned())(source));
        assert_eq!(about(anyhow::anyhow!("not gzip")), 2);
        assert_eq!(about(helm::Error::NotGzip.into()), 2);
        assert_eq!(about(std::io::Error::from(std::io::ErrorKind::NotFound).into()), 4);
        assert_eq!(about(std::io::Error::from(std::io::ErrorKind::StorageFull).into()), 5);
        assert_eq!(code(&Missing { message: String::new(), hint: None }.into()), 4);
    }

    #[test]
    fn o14_the_parsers_errors_have_the_parts_of_all_errors() {
        let parts = |arguments: &[&str]| {
            let arguments = std::iter::once(&"airlock").chain(arguments);
            let error = Unparsable::of(&Cli::command().try_get_matches_from(arguments).unwrap_err());
            (error.message, error.hint)
        };
        let (message, hint) = parts(&["pack"]);
        assert_eq!(message, "the following required arguments were not provided: --store <DIR> --to <DIR>");
        assert!(hint.starts_with("Usage: airlock pack"), "{hint}");
        let (message, hint) = parts(&["verfy"]);
        assert_eq!(message, "unrecognized subcommand 'verfy'");
        assert!(hint.starts_with("tip: ") && hint.contains("; Usage: airlock"), "{hint}");
        assert_eq!(parts(&["keys", "add"]).0, "a command or an argument is missing");
    }
}
