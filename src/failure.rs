//! Exit codes and messages of errors: what failed, why, and what to do.
//!
//! - `argument`: errors about what the user typed or named, and the rule for their exit codes

mod argument;

use std::process::ExitCode;

use error_class::{Class, Classified};
use packager::bundle;
use serde_json::json;

pub(crate) use self::argument::{Missing, Protected, Unparsable, Unusable, Usage, unusable};
use crate::cli::Format;
use crate::commands::ClusterError;
use crate::printer::Printer;

/// How a command ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Success.
    Done,
    /// A check found faults, which were printed.
    Faults,
}

/// Prints the error, if any, and returns the exit code.
pub(crate) fn exit(outcome: anyhow::Result<Status>, printer: &Printer) -> ExitCode {
    match outcome {
        Ok(Status::Done) => ExitCode::SUCCESS,
        Ok(Status::Faults) => ExitCode::from(3),
        // The reader of the output closed the pipe.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(report(&error, printer)),
    }
}

/// Prints an error; returns its exit code.
pub(crate) fn report(error: &anyhow::Error, printer: &Printer) -> u8 {
    let code = code(error);
    let causes = error_text::causes(error.as_ref());
    let hint = hint(error);
    if printer.format() == Format::Json {
        let body = json!({ "error": causes[0], "causes": causes[1..], "hint": hint, "exitCode": code });
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
    code
}

/// The exit code of an error: that of the first cause that has a class.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    code_of(class(error))
}

/// The class of an error.
pub(crate) fn class(error: &anyhow::Error) -> Class {
    error.chain().find_map(class_of).unwrap_or(Class::Other)
}

/// The exit codes, as README.md and the help list them.
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

/// Every error type that a command can return. Outer errors in a chain only add context.
const ERROR_TYPES: &[fn(Cause<'_>) -> Option<Class>] = &[
    class_as::<Usage>,
    class_as::<Missing>,
    class_as::<Protected>,
    class_as::<Unusable>,
    class_as::<Unparsable>,
    class_as::<crate::gates::Refused>,
    class_as::<ClusterError>,
    class_as::<audit::Error>,
    class_as::<bundle::Error>,
    class_as::<bundle_signer::Error>,
    class_as::<bundle_signer::eksa::Refusal>,
    class_as::<bundle_signer::keyless::Error>,
    class_as::<bundle_signer::openpgp::Defect>,
    class_as::<bundle_signer::provenance::ProvenanceError>,
    class_as::<evidence::Error>,
    class_as::<gostd::yaml::Error>,
    class_as::<helm::Error>,
    class_as::<mirror::Error>,
    class_as::<mirror::config::Error>,
    class_as::<mirror::lock::Error>,
    class_as::<oci::Error>,
    class_as::<package_api::Error>,
    class_as::<package_bundle::Error>,
    class_as::<admission::Error>,
    class_as::<admission::values::Error>,
    class_as::<installer::Error>,
    class_as::<installer::objects::Error>,
    class_as::<package_controller::Error>,
    class_as::<packager::drive_log::Alarm>,
    class_as::<packager::drive_log::DriveLogError>,
    class_as::<private::Error>,
    class_as::<private::Locked>,
    class_as::<registry::Error>,
    class_as::<registry::client::Error>,
    class_as::<std::io::Error>,
    class_as::<store::Error>,
    class_as::<tlog::Error>,
];

type Cause<'a> = &'a (dyn std::error::Error + 'static);

fn class_of(cause: Cause<'_>) -> Option<Class> {
    ERROR_TYPES.iter().find_map(|classify| classify(cause))
}

fn class_as<T: Classified + 'static>(cause: Cause<'_>) -> Option<Class> {
    as_type::<T>(cause).map(Classified::class)
}

/// Downcasts a cause, also if another error keeps it in a `Box`, which is a different type.
fn as_type<T: std::error::Error + 'static>(cause: Cause<'_>) -> Option<&T> {
    cause.downcast_ref::<T>().or_else(|| cause.downcast_ref::<Box<T>>().map(AsRef::as_ref))
}

/// The first cause of this type.
fn find<T: std::error::Error + 'static>(error: &anyhow::Error) -> Option<&T> {
    error.chain().find_map(as_type)
}

/// The hint of the first cause that has one.
fn hint(error: &anyhow::Error) -> Option<&str> {
    // Whatever failed, the process that holds the lock is the reason.
    if let Some(locked) = find::<private::Locked>(error) {
        return Some(locked.hint());
    }
    error.chain().find_map(|cause| {
        as_type::<Usage>(cause)
            .map(|usage| usage.hint)
            .or_else(|| as_type(cause).and_then(|missing: &Missing| missing.hint))
            .or_else(|| as_type::<Protected>(cause).map(|protected| protected.hint))
            .or_else(|| as_type(cause).map(Unparsable::hint))
            .or_else(|| as_type::<crate::gates::Refused>(cause).map(|_| crate::gates::HINT))
            .or_else(|| as_type(cause).and_then(ClusterError::hint))
            .or_else(|| registry_hint(error, cause))
            .or_else(|| as_type(cause).and_then(bundle::Error::hint))
            .or_else(|| as_type(cause).and_then(mirror::lock::Error::hint))
            .or_else(|| as_type(cause).and_then(mirror::Error::hint))
            .or_else(|| as_type(cause).and_then(package_bundle::Error::hint))
            .or_else(|| as_type(cause).and_then(bundle_signer::Error::hint))
            .or_else(|| as_type(cause).and_then(store::Error::hint))
            .or_else(|| as_type(cause).and_then(log_hint))
            .or_else(|| as_type(cause).and_then(audit::Error::hint))
            .or_else(|| as_type(cause).and_then(registry::Error::hint))
    })
}

fn log_hint(error: &audit::Error) -> Option<&'static str> {
    matches!(error, audit::Error::Unlogged { .. }).then_some(crate::logged::HINT)
}

/// The hint about a registry that a command's arguments name, not a mirror file.
fn registry_hint<'a>(error: &'a anyhow::Error, cause: Cause<'a>) -> Option<&'a str> {
    use installer::Error as Engine;
    let of_chart = matches!(as_type(cause), Some(Engine::Pull { .. }));
    let of_image = matches!(as_type(cause), Some(evidence::Error::Client(_)));
    if !of_chart && !of_image {
        return None;
    }
    let client: &registry::client::Error = find(error)?;
    // The server answered, or was not asked, so the connection is not the problem.
    if client.needs_login() || matches!(client.class(), Class::Refused | Class::Usage) {
        return client.hint();
    }
    if client.is_not_tls() {
        return Some(
            "the server does not use TLS: check the host and the port; for plain HTTP, give --plain-http",
        );
    }
    Some(match (of_chart, client.is_unknown_ca()) {
        (true, true) => "give the CA of the registry's certificate: --registry-ca FILE",
        (true, false) => {
            "check that the registry is running, and check its host and port: --registry HOST:PORT"
        }
        (false, true) => {
            "give the CA of the registry's certificate: --registry-ca FILE or --ca-file FILE, depending on the command"
        }
        (false, false) => {
            "check the host, and check that the registry is running; if it is across the air gap, give the store that it serves: \
             --store DIR"
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
    fn o14_a_registry_that_denies_by_its_own_rule_is_3_with_its_advice() {
        let sign = anyhow::Error::new(evidence::Error::Client(refused(403, Some("sign it there"))));
        assert_eq!((code(&sign), hint(&sign)), (3, Some("sign it there")));
        let login = anyhow::Error::new(evidence::Error::Client(refused(403, None)));
        assert!(code(&login) == 6 && hint(&login).unwrap().contains("log in"));
    }

    #[test]
    fn o14_a_boxed_error_has_the_same_class_and_hint() {
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
