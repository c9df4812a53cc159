//! Errors as exit codes and as words: what went wrong, why, and what to do.

mod upstream;

use std::process::ExitCode;

use packager::bundle;
use packager::drive_log::Refusal;
use serde_json::json;

use self::upstream::{client_code, mirror_code, unboxed};
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

/// What an error's exit code is.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    code_of(error.as_ref())
}

fn code_of(error: &(dyn std::error::Error + 'static)) -> u8 {
    for cause in anyhow::Chain::new(error).map(unboxed) {
        if cause.is::<Usage>()
            || cause.is::<mirror::config::Error>()
            || cause.is::<mirror::lock::Error>()
            || is_usage(cause)
        {
            return 2;
        }
        if let Some(error) = cause.downcast_ref::<registry::client::Error>() {
            return client_code(error);
        }
        let bundled = || cause.downcast_ref().and_then(package_bundle_code);
        if let Some(code) = cause.downcast_ref().and_then(evidence_code).or_else(bundled) {
            return code;
        }
        if cause.is::<crate::gates::Refused>()
            || cause.is::<bundle_signer::eksa::Refusal>()
            || matches!(cause.downcast_ref::<bundle_signer::Error>(), Some(bundle_signer::Error::Eksa(_)))
        {
            return 3;
        }
        if let Some(answer) = cause.downcast_ref::<Answer>() {
            return answer.code();
        }
        if cause.is::<crate::commands::audit::NoEvent>()
            || cause.is::<crate::commands::quarantine::NoRecord>()
            || cause.is::<crate::commands::store::get::NoName>()
        {
            return 4;
        }
        if let Some(error) = cause.downcast_ref::<audit::Error>() {
            return audit_code(error);
        }
        if let Some(error) = cause.downcast_ref::<helm::Error>() {
            return chart_code(error);
        }
        if let Some(code) = cause.downcast_ref().and_then(engine_code) {
            return code;
        }
        if let Some(error) = cause.downcast_ref::<bundle::Error>() {
            return media_code(error);
        }
        match cause.downcast_ref::<store::Error>() {
            Some(error) if error.is_out_of_space() => return 5,
            Some(store::Error::Absent(_)) => return 4,
            Some(
                store::Error::DigestMismatch { .. }
                | store::Error::DescriptorSize { .. }
                | store::Error::NamesGone(_),
            ) => return 3,
            _ => {}
        }
        if let Some(code) = cause.downcast_ref::<std::io::Error>().and_then(io_code) {
            return code;
        }
        if let Some(code) = cause.downcast_ref().and_then(mirror_code) {
            return code;
        }
    }
    1
}

/// Whether what is wrong was typed, or stands in a file of the user's.
fn is_usage(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref().is_some_and(is_misused) || cause.downcast_ref().is_some_and(is_no_identity)
}

fn is_misused(error: &bundle_signer::Error) -> bool {
    use bundle_signer::Error as E;
    matches!(
        error,
        E::Trust(_)
            | E::TrustKind { .. }
            | E::TrustEmpty
            | E::TrustMember { .. }
            | E::TrustName(_)
            | E::TrustIdentity { .. }
            | E::TrustIdentityText { .. }
            | E::TrustTwice(_)
            | E::ImageName(_)
            | E::Password
            | E::Pkcs11Uri(_)
            | E::PinInUri
            | E::NoTokens
            | E::NoModule
            | E::Pin
            | E::TokenCount(_)
            | E::TokenKeyCount { .. }
    )
}

/// Whether an identity, or the root that it is verified under, cannot be one.
fn is_no_identity(error: &bundle_signer::keyless::Error) -> bool {
    use bundle_signer::keyless::Error as E;
    matches!(
        error,
        E::IdentityEmpty
            | E::IdentityTooLarge(_)
            | E::Pattern(_)
            | E::Root(_)
            | E::RootLacks(_)
            | E::RootMaterial(_)
            | E::RootTooLarge(_)
            | E::RootVersion(_)
    )
}

/// What is said of a cause, later causes decide.
fn package_bundle_code(error: &package_bundle::Error) -> Option<u8> {
    use package_bundle::Error as E;
    match error {
        E::Yaml { .. }
        | E::Kind { .. }
        | E::Name(_)
        | E::Package { .. }
        | E::Dependency { .. }
        | E::Published(_)
        | E::ChartName(_) => Some(2),
        E::NoChart(_) | E::NoImages { .. } | E::NoBundle(_) => Some(4),
        E::Schema(_) | E::Artifact(_) => Some(3),
        _ => None,
    }
}

fn chart_code(error: &helm::Error) -> u8 {
    use helm::Error as E;
    match error {
        E::Set { .. } | E::Values { .. } | E::ReleaseName { .. } | E::KubeVersion { .. } => 2,
        E::Limit { .. } => 3,
        _ => 1,
    }
}

/// What is said of a chart that was to be pulled and rendered.
fn engine_code(error: &installer::Error) -> Option<u8> {
    use installer::Error as E;
    match error {
        E::Silent { .. } => Some(6),
        E::Kube { source, .. } if !matches!(**source, kube::Error::Api(_)) => Some(6),
        E::NoChart { .. } => Some(4),
        E::Digest { .. } | E::NotAChart { .. } | E::Refused { .. } => Some(3),
        E::Chart(error) => Some(chart_code(error)),
        _ => None,
    }
}

fn evidence_code(error: &evidence::Error) -> Option<u8> {
    use evidence::Error as E;
    match error {
        E::Demand(_) | E::Keyless(_) => Some(2),
        E::NotFound(_) => Some(4),
        E::Content(_) => Some(3),
        _ => None,
    }
}

fn audit_code(error: &audit::Error) -> u8 {
    use audit::Error as E;
    match error {
        E::Log(tlog::Error::Absent(_) | tlog::Error::NoEntry { .. }) | E::Unknown { .. } => 4,
        E::Log(tlog::Error::Io { source, .. }) | E::Io { source, .. } => io_code(source).unwrap_or(1),
        E::Log(tlog::Error::Key { .. })
        | E::Unusable { .. }
        | E::Kind(_)
        | E::Framework(_)
        | E::Digest(_)
        | E::Ambiguous { .. } => 2,
        E::Log(tlog::Error::Locked(_)) => 1,
        E::Log(_) | E::NoEvent { .. } | E::Missing { .. } => 3,
        _ => 1,
    }
}

fn media_code(error: &bundle::Error) -> u8 {
    use bundle::Error as E;
    match error {
        E::NoVolume(_)
        | E::MissingVolumes { .. }
        | E::NotInStore(_)
        | E::Log(
            Refusal::Missing(_) | Refusal::NoReturn(_) | Refusal::NotQuarantined(_) | Refusal::NothingLost,
        ) => 4,
        E::NoSpace { .. } | E::FileTooLarge { .. } => 5,
        E::VolumeTooSmall { .. } | E::WouldOverwrite(_) | E::NoTrust => 2,
        E::Store(error) if error.is_out_of_space() => 5,
        E::Io { source, .. } => io_code(source).unwrap_or(1),
        E::Alarm(_)
        | E::Log(
            Refusal::Quarantined { .. }
            | Refusal::StalePolicy { .. }
            | Refusal::MemoryGone(_)
            | Refusal::MemoryBack { .. }
            | Refusal::KeyGone(_),
        ) => 7,
        E::Log(Refusal::Record(_))
        | E::Locked(_)
        | E::NotInserted { .. }
        | E::ReadBack(_)
        | E::Unlogged(_)
        | E::Store(_)
        | E::Sign(_)
        | E::TargetBusy { .. } => 1,
        _ => 3,
    }
}

/// What the system says of a file that was named.
fn io_code(error: &std::io::Error) -> Option<u8> {
    use std::io::ErrorKind::{NotFound, QuotaExceeded, StorageFull};
    match error.kind() {
        NotFound => Some(4),
        StorageFull | QuotaExceeded => Some(5),
        _ => None,
    }
}

fn hint(error: &anyhow::Error) -> Option<&str> {
    // Whatever could not be done for it: that process is in the way.
    let locked = error.chain().find_map(|cause| cause.downcast_ref::<private::Locked>());
    if let Some(locked) = locked {
        return Some(locked.hint());
    }
    error.chain().map(unboxed).find_map(|cause| {
        let usage = cause.downcast_ref::<Usage>().map(|usage| usage.hint);
        usage
            .or_else(|| cause.is::<crate::gates::Refused>().then_some(crate::gates::HINT))
            .or_else(|| cause.downcast_ref::<Answer>().and_then(Answer::hint))
            .or_else(|| unasked(error, cause))
            .or_else(|| cause.downcast_ref::<bundle::Error>().and_then(bundle::Error::hint))
            .or_else(|| cause.downcast_ref::<mirror::lock::Error>().and_then(mirror::lock::Error::hint))
            .or_else(|| cause.downcast_ref::<mirror::Error>().and_then(mirror::Error::hint))
            .or_else(|| {
                let error = cause.downcast_ref::<package_bundle::Error>();
                error.and_then(package_bundle::Error::hint)
            })
            .or_else(|| cause.downcast_ref::<bundle_signer::Error>().and_then(bundle_signer::Error::hint))
            .or_else(|| cause.downcast_ref::<store::Error>().and_then(store::Error::hint))
            .or_else(|| {
                let unlogged = matches!(cause.downcast_ref(), Some(audit::Error::Unlogged { .. }));
                unlogged.then_some(crate::logged::HINT)
            })
            .or_else(|| cause.downcast_ref::<audit::Error>().and_then(audit::Error::hint))
            .or_else(|| cause.downcast_ref::<registry::Error>().and_then(registry::Error::hint))
    })
}

/// What to do about a registry that a command named by itself, and not a mirror file.
fn unasked(error: &anyhow::Error, cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    use installer::Error as Engine;
    let of_chart = matches!(cause.downcast_ref(), Some(Engine::Pull { .. }));
    let of_image = matches!(cause.downcast_ref(), Some(evidence::Error::Client(_)));
    if !of_chart && !of_image {
        return None;
    }
    if let Some(hint) = error.chain().find_map(|cause| cause.downcast_ref().and_then(login)) {
        return Some(hint);
    }
    let is_unknown = error.chain().any(|cause| cause.to_string().contains("UnknownIssuer"));
    Some(match (of_chart, is_unknown) {
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

/// A registry that answers, and lets nobody in without a password.
fn login(error: &registry::client::Error) -> Option<&'static str> {
    use registry::client::Error as E;
    let refused = matches!(error, E::Token { .. })
        || matches!(error, E::Refused { status, .. } if matches!(status.as_u16(), 401 | 403));
    refused.then(|| error.hint()).flatten()
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

    #[test]
    fn a_registry_that_fails_is_6_and_told_by_the_options_of_the_command() {
        let silent = || Client::Protocol { host: "a".to_owned(), what: "UnknownIssuer" };
        let pull = |source| anyhow::Error::new(Engine::Pull { chart: "a/b".to_owned(), source });
        let unknown = pull(silent()).context("the package `b` cannot be rendered");
        assert_eq!(code(&unknown), 6);
        assert!(hint(&unknown).unwrap().contains("--registry-ca"));
        let at = Box::new(At { url: "https://a/v2/b".to_owned(), host: Some("a".to_owned()), proxy: None });
        let refused = Client::Refused { at, status: 401_u16.try_into().unwrap(), said: String::new() };
        assert!(hint(&pull(refused)).unwrap().contains("log in"));
        let gone = Client::Protocol { host: "a".to_owned(), what: "nothing" };
        let sign = anyhow::Error::new(evidence::Error::Client(gone));
        assert!(code(&sign) == 6 && hint(&sign).unwrap().contains("--store"));
        assert_eq!(code(&Engine::NoChart { chart: "a/b".to_owned() }.into()), 4);
    }
}
