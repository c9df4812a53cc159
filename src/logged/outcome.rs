//! Audit outcomes of errors.

use audit::{Ending, Outcome};
use packager::bundle;
use packager::drive_log::DriveLogError;

use crate::failure;

/// Work that completed and found faults.
pub(crate) fn faults(detail: &str) -> Outcome {
    Outcome::because(Ending::Failed, "faults", detail)
}

/// The rules of a trust file are not met.
pub(crate) fn refused(detail: &str) -> Outcome {
    Outcome::because(Ending::Refused, "policy", detail)
}

/// Exit codes 3 and 7, and a drive without a trust file, are refused; everything else failed.
pub(crate) fn of(error: &anyhow::Error) -> Outcome {
    let media = error.chain().find_map(|cause| cause.downcast_ref::<bundle::Error>());
    let code = failure::code(error);
    let untrusted = matches!(media, Some(bundle::Error::NoTrust));
    let ending = if code == 3 || code == 7 || untrusted { Ending::Refused } else { Ending::Failed };
    if error.is::<crate::gates::Refused>() {
        return refused(&format!("{error:#}"));
    }
    if error.is::<failure::Protected>() {
        return Outcome::because(Ending::Refused, "protected", &format!("{error:#}"));
    }
    Outcome::because(ending, media.map_or_else(|| reason(code), media_reason), &format!("{error:#}"))
}

fn reason(code: u8) -> &'static str {
    match code {
        2 => "usage",
        3 => "content",
        4 => "missing",
        5 => "no-room",
        6 => "network",
        _ => "error",
    }
}

fn media_reason(error: &bundle::Error) -> &'static str {
    use bundle::Error as E;
    match error {
        E::Signature(_) => "signature",
        E::Alarm(alarm) => alarm.kind.code(),
        E::Log(DriveLogError::Quarantined { .. }) => "quarantined",
        E::Log(DriveLogError::StalePolicy { .. }) => "stale-policy",
        E::Log(
            DriveLogError::RecordsMissing(_)
            | DriveLogError::RecordOutdated { .. }
            | DriveLogError::KeyMissing(_),
        ) => "forgotten",
        E::Log(_) => "log",
        E::NoTrust => "no-trust",
        E::Unsigned => "unsigned",
        E::NoVolume(_) | E::NotVolume(_) | E::MissingVolumes { .. } => "missing-volumes",
        E::OtherSet { .. } | E::OtherSignature(_) => "other-set",
        E::ManifestDigest { .. } | E::Content { .. } => "digest",
        E::Version { .. } => "version",
        E::Io { .. } => "io",
        E::Store(_) => "store",
        E::NoSpace { .. } | E::FileTooLarge { .. } => "no-room",
        E::NotInStore(_) => "missing",
        E::Sign(_) => "key",
        E::VolumeTooSmall { .. } | E::WouldOverwrite(_) | E::TargetBusy { .. } => "usage",
        _ => "content",
    }
}
