//! Exit codes of what is fetched from registries and servers of files.

use super::{code_of, io_code};

/// A cause without the box that an error keeps it in: a box is another type, which nothing below would know.
pub(super) fn unboxed<'a>(
    cause: &'a (dyn std::error::Error + 'static),
) -> &'a (dyn std::error::Error + 'static) {
    fn inner<'a, T: std::error::Error + 'static>(
        cause: &'a (dyn std::error::Error + 'static),
    ) -> Option<&'a (dyn std::error::Error + 'static)> {
        cause.downcast_ref::<Box<T>>().map(|inner| -> &(dyn std::error::Error + 'static) { &**inner })
    }
    let all = [
        inner::<evidence::Error>,
        inner::<mirror::Error>,
        inner::<registry::client::Error>,
        inner::<bundle_signer::Error>,
        inner::<helm::Error>,
        inner::<store::Error>,
        inner::<oci::Error>,
    ];
    all.iter().find_map(|inner| inner(cause)).unwrap_or(cause)
}

/// A registry or file server, or what is needed to reach it.
pub(super) fn client_code(error: &registry::client::Error) -> u8 {
    use registry::client::Class;
    match error.class() {
        Class::Configuration => 2,
        Class::Content => 3,
        Class::Missing => 4,
        Class::Network => 6,
        Class::Local => 1,
    }
}

/// What a mirror run's own error says; where it says nothing, its cause decides.
pub(super) fn mirror_code(error: &mirror::Error) -> Option<u8> {
    use mirror::Error as E;
    match error {
        E::NoSpace { .. } => Some(5),
        E::ChartArchive { source, .. } => Some(io_code(source).unwrap_or(3)),
        // What the system did not say is about the content, as of an archive that is none.
        E::File { source, .. } if source.raw_os_error().is_none() => Some(io_code(source).unwrap_or(3)),
        E::Clash(_) | E::FileName(_) => Some(2),
        E::Checksum { .. }
        | E::Content { .. }
        | E::TooMany { .. }
        | E::Unsigned { .. }
        | E::Unverified { .. }
        | E::Incomplete(_)
        | E::Provenance { .. }
        | E::NoProvenance(_)
        | E::NotBySigner { .. }
        | E::Unsupported { .. }
        | E::Archive { .. }
        | E::ChartTooLarge(_)
        | E::NoChart(_)
        | E::EmptyBundle(_)
        | E::Document { .. }
        | E::DocumentKind { .. }
        | E::RenderedYaml { .. }
        | E::Oci(_) => Some(3),
        E::NotFound(_)
        | E::NoPlatform { .. }
        | E::Layer { .. }
        | E::ArchiveChoice { .. }
        | E::ArchiveLacks { .. }
        | E::Missing { .. }
        | E::MissingReferrer { .. } => Some(4),
        E::Several(all) => {
            // The gravest: content that is refused, no room, what the user wrote, what is missing, the network.
            let codes: Vec<u8> = all.iter().map(|error| code_of(error)).collect();
            Some([3, 5, 2, 4, 6].into_iter().find(|code| codes.contains(code)).unwrap_or(1))
        }
        _ => None,
    }
}
