//! Errors as exit codes and as words: what went wrong, why, and what to do.

use std::process::ExitCode;

use error_class::{Class, Classified};
use packager::bundle;
use serde_json::json;

use crate::cli::Format;
use crate::commands::Answer;
use crate::printer::Printer;

/// How a command ended, other than by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// As wanted.
    Done,
    /// A check found faults, which were printed.
    Faults,
}

/// Prints an error, if there is one, and gives the exit code.
pub(crate) fn exit(outcome: anyhow::Result<Status>, printer: &Printer) -> ExitCode {
    match outcome {
        Ok(Status::Done) => ExitCode::SUCCESS,
        Ok(Status::Faults) => ExitCode::from(3),
        // Whoever read the output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let code = code(&error);
            let causes = brief::causes(error.as_ref());
            let hint = hint(&error);
            if printer.format() == Format::Json {
                let body =
                    json!({ "error": causes[0], "causes": causes[1..], "hint": hint, "exitCode": code });
                printer.complain(&body.to_string());
            } else {
                printer.complain(&format!("error: {}", causes[0]));
                for cause in &causes[1..] {
                    printer.complain(&format!("  caused by: {cause}"));
                }
                if let Some(hint) = hint {
                    printer.complain(&format!("hint: {hint}"));
                }
            }
            ExitCode::from(code)
        }
    }
}

/// A mistake in what was typed or configured, found after parsing.
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

/// What an error's exit code is: that of the first cause that has a class.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    code_of(class(error))
}

/// The class of an error.
pub(crate) fn class(error: &anyhow::Error) -> Class {
    error.chain().find_map(class_of).unwrap_or(Class::Other)
}

/// The exit codes, as README.md lists them.
fn code_of(class: Class) -> u8 {
    match class {
        Class::Other => 1,
        Class::Usage => 2,
        Class::Refused => 3,
        Class::Missing => 4,
        Class::NoRoom => 5,
        Class::Network => 6,
        Class::Alarm => 7,
    }
}

/// Every error type that a command may end with. Whatever stands in front of them in a chain is only a text.
const KNOWN: &[fn(Cause<'_>) -> Option<Class>] = &[
    known::<Usage>,
    known::<crate::gates::Refused>,
    known::<Answer>,
    known::<crate::commands::audit::NoEvent>,
    known::<crate::commands::quarantine::NoRecord>,
    known::<crate::commands::store::get::NoName>,
    known::<crate::commands::chart::load::NoChart>,
    known::<audit::Error>,
    known::<bundle::Error>,
    known::<bundle_signer::Error>,
    known::<bundle_signer::eksa::Refusal>,
    known::<bundle_signer::keyless::Error>,
    known::<bundle_signer::openpgp::Defect>,
    known::<bundle_signer::provenance::ProvenanceError>,
    known::<evidence::Error>,
    known::<gostd::yaml::Error>,
    known::<helm::Error>,
    known::<mirror::Error>,
    known::<mirror::config::Error>,
    known::<mirror::lock::Error>,
    known::<oci::Error>,
    known::<package_api::Error>,
    known::<package_bundle::Error>,
    known::<admission::Error>,
    known::<admission::values::Error>,
    known::<installer::Error>,
    known::<installer::objects::Error>,
    known::<package_controller::Error>,
    known::<packager::drive_log::Alarm>,
    known::<packager::drive_log::DriveLogError>,
    known::<private::Error>,
    known::<private::Locked>,
    known::<registry::Error>,
    known::<registry::client::Error>,
    known::<std::io::Error>,
    known::<store::Error>,
    known::<tlog::Error>,
];

type Cause<'a> = &'a (dyn std::error::Error + 'static);

fn class_of(cause: Cause<'_>) -> Option<Class> {
    KNOWN.iter().find_map(|known| known(cause))
}

fn known<T: Classified + 'static>(cause: Cause<'_>) -> Option<Class> {
    as_type::<T>(cause).map(Classified::class)
}

/// A cause as its type, also from within the box that another error keeps it in: a box is a type of its own.
fn as_type<T: std::error::Error + 'static>(cause: Cause<'_>) -> Option<&T> {
    cause.downcast_ref::<T>().or_else(|| cause.downcast_ref::<Box<T>>().map(AsRef::as_ref))
}

/// The first cause of a type.
fn find<T: std::error::Error + 'static>(error: &anyhow::Error) -> Option<&T> {
    error.chain().find_map(as_type)
}

/// What to do, by the first cause that knows.
fn hint(error: &anyhow::Error) -> Option<&str> {
    // Whatever could not be done for it: that process is in the way.
    if let Some(locked) = find::<private::Locked>(error) {
        return Some(locked.hint());
    }
    error.chain().find_map(|cause| {
        as_type::<Usage>(cause)
            .map(|usage| usage.hint)
            .or_else(|| as_type::<crate::gates::Refused>(cause).map(|_| crate::gates::HINT))
            .or_else(|| as_type(cause).and_then(Answer::hint))
            .or_else(|| as_type(cause).map(crate::commands::chart::load::NoChart::hint))
            .or_else(|| unasked(error, cause))
            .or_else(|| as_type(cause).and_then(bundle::Error::hint))
            .or_else(|| as_type(cause).and_then(mirror::lock::Error::hint))
            .or_else(|| as_type(cause).and_then(mirror::Error::hint))
            .or_else(|| as_type(cause).and_then(package_bundle::Error::hint))
            .or_else(|| as_type(cause).and_then(bundle_signer::Error::hint))
            .or_else(|| as_type(cause).and_then(store::Error::hint))
            .or_else(|| as_type(cause).and_then(unlogged))
            .or_else(|| as_type(cause).and_then(audit::Error::hint))
            .or_else(|| as_type(cause).and_then(registry::Error::hint))
    })
}

fn unlogged(error: &audit::Error) -> Option<&'static str> {
    matches!(error, audit::Error::Unlogged { .. }).then_some(crate::logged::HINT)
}

/// What to do about a registry that a command named by itself, and not a mirror file.
fn unasked<'a>(error: &'a anyhow::Error, cause: Cause<'a>) -> Option<&'a str> {
    use installer::Error as Engine;
    let of_chart = matches!(as_type(cause), Some(Engine::Pull { .. }));
    let of_image = matches!(as_type(cause), Some(evidence::Error::Client(_)));
    if !of_chart && !of_image {
        return None;
    }
    let client: &registry::client::Error = find(error)?;
    // The server answers: it is not a matter of how it is reached.
    if client.needs_login() || client.class() == Class::Refused {
        return client.hint();
    }
    Some(match (of_chart, client.is_unknown_ca()) {
        (true, true) => "give the authority of the registry's certificate: --registry-ca FILE",
        (true, false) => "check the registry's host and port, and whether it runs: --registry HOST:PORT",
        (false, true) => {
            "give the authority of the registry's certificate by --registry-ca FILE, or --ca-file FILE where the command has \
             that"
        }
        (false, false) => {
            "check the host, and whether the registry runs; across the air gap give --store DIR, the store that it serves"
        }
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::BrokenPipe;
    error.downcast_ref::<std::io::Error>().is_some_and(kind)
}

#[cfg(test)]
mod tests {
    use installer::Error as Engine;
    use registry::client::{At, Error as Client};

    use super::*;

    fn refused(status: u16, advice: Option<&str>) -> Client {
        let at = Box::new(At { url: "https://a/v2/b".to_owned(), host: Some("a".to_owned()), proxy: None });
        let status = status.try_into().unwrap();
        Client::Refused { at, status, said: String::new(), advice: advice.map(str::to_owned) }
    }

    #[test]
    fn a_registry_that_fails_is_6_and_the_hint_names_the_options_of_the_command() {
        let pull = |source| anyhow::Error::new(Engine::Pull { chart: "a/b".to_owned(), source });
        assert!(hint(&pull(refused(401, None))).unwrap().contains("log in"));
        let gone = || Client::Protocol { host: "a".to_owned(), what: "nothing" };
        let chart = pull(gone()).context("the package `b` cannot be rendered");
        assert!(code(&chart) == 6 && hint(&chart).unwrap().contains("--registry HOST:PORT"));
        let sign = anyhow::Error::new(evidence::Error::Client(gone()));
        assert!(code(&sign) == 6 && hint(&sign).unwrap().contains("--store"));
        assert_eq!(code(&Engine::NoChart { chart: "a/b".to_owned() }.into()), 4);
    }

    #[test]
    fn o14_a_registry_that_denies_by_a_rule_of_its_own_is_3_with_its_advice() {
        let sign = anyhow::Error::new(evidence::Error::Client(refused(403, Some("sign it there"))));
        assert_eq!((code(&sign), hint(&sign)), (3, Some("sign it there")));
        let login = anyhow::Error::new(evidence::Error::Client(refused(403, None)));
        assert!(code(&login) == 6 && hint(&login).unwrap().contains("log in"));
    }

    #[test]
    fn o14_an_error_in_a_box_has_the_class_and_the_hint_that_it_has_without() {
        let absent = || store::Error::Absent("s".into());
        let boxed = mirror::Error::Evidence {
            reference: "a".to_owned(),
            source: Box::new(evidence::Error::Store(absent())),
        };
        let error = anyhow::Error::new(boxed).context("mirroring");
        assert_eq!((code(&error), code(&absent().into())), (4, 4));
        assert!(hint(&error).unwrap().contains("check the path"));
    }
}
