//! The commands. Each takes its arguments and a printer, and returns how it ended.

pub(crate) mod audit;
mod bundle;
mod change;
pub(crate) mod chart;
mod cluster;
mod config;
pub(crate) mod controller;
mod generate;
pub(crate) mod image;
pub(crate) mod import;
pub(crate) mod inspect;
mod install;
pub(crate) mod keys;
pub(crate) mod mirror;
pub(crate) mod pack;
pub(crate) mod quarantine;
mod returned;
pub(crate) mod serve;
mod sign;
pub(crate) mod store;
mod tls;
mod trust;
pub(crate) mod verify;
mod verify_image;
mod verify_manifest;

use std::collections::BTreeSet;
use std::path::Path;

pub(crate) use self::cluster::reach::ClusterError;
use ::mirror::lock::LockedItem;
use anyhow::Context as _;
use bundle_signer::TrustFile;
use clap::CommandFactory as _;

use crate::cli::{Audit, Cli, Command, Format, MediaArg, StoreArg, TrustArg};
use crate::failure::{Status, Usage};
use crate::logged::{Logs, Work};
use crate::printer::Printer;
use crate::quickstart;

pub(crate) async fn run(command: Command, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    check_format(&command, printer)?;
    match command {
        Command::Mirror(settings) => Box::pin(mirror::run(&settings, logs, printer)).await,
        Command::Pack(settings) => pack::run(&settings, logs, printer).await,
        Command::Verify(settings) => verify::run(&settings, logs, printer),
        Command::Inspect(settings) => inspect::run(&settings, printer),
        Command::Import(settings) => import::run(&settings, logs, printer),
        Command::Quarantine(settings) => quarantine::run(&settings, logs, printer),
        Command::Return(settings) => returned::return_checkpoints(&settings, logs, printer),
        Command::Acknowledge(settings) => returned::acknowledge(&settings, logs, printer),
        Command::Serve(settings) => serve::run(settings, logs, printer).await,
        Command::Controller(settings) => controller::run(*settings, logs).await,
        Command::Config(settings) => config::run(&settings, printer),
        Command::Bundle(settings) => bundle::run(&settings, logs, printer),
        Command::Generate(settings) => generate::run(&settings, printer),
        Command::InCluster(command) => cluster::run(command, logs, printer).await,
        Command::Keys(settings) => keys::run(&settings, logs, printer),
        Command::Sign(settings) => sign::run(&settings, logs, printer).await,
        Command::Attest(settings) => sign::attest(&settings, logs, printer).await,
        Command::VerifyImage(settings) => verify_image::run(&settings, logs, printer).await,
        Command::VerifyManifest(settings) => verify_manifest::run(&settings, logs, printer),
        Command::Trust(settings) => trust::run(&settings, logs, printer),
        Command::Chart(settings) => chart::run(&settings, printer),
        Command::Audit(settings) => audit::run(&settings, logs, printer),
        Command::Store(settings) => store::run(&settings, logs, printer),
        Command::Quickstart(settings) => Box::pin(quickstart::run(&settings, logs, printer)).await,
        Command::Schema => {
            printer.data(&serde_json::to_string_pretty(&::mirror::config::json_schema())?)?;
            Ok(Status::Done)
        }
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "airlock", &mut text);
            printer.data(&String::from_utf8_lossy(&text))?;
            Ok(Status::Done)
        }
        Command::Man { to } => {
            std::fs::create_dir_all(&to).with_context(|| format!("cannot create `{}`", to.display()))?;
            clap_mangen::generate_to(Cli::command(), &to)?;
            printer.say(&format!("man pages are in `{}`", to.display()));
            Ok(Status::Done)
        }
        Command::Version => {
            let value = serde_json::json!({ "name": "airlock", "version": env!("CARGO_PKG_VERSION") });
            printer.result(&value, |_| concat!("airlock ", env!("CARGO_PKG_VERSION")).to_owned())?;
            Ok(Status::Done)
        }
    }
}

/// Checks that the command supports the output format.
fn check_format(command: &Command, printer: &Printer) -> anyhow::Result<()> {
    let message = match printer.format() {
        Format::Html if !matches!(command, Command::Inspect(_)) => "only `inspect` supports `--output html`",
        Format::Jsonl if !matches!(command, Command::Audit(Audit::Log(_))) => {
            "only `audit log` supports `--output jsonl`"
        }
        Format::Yaml if !cluster::prints_yaml(command) => {
            "only commands that show cluster resources support `--output yaml`"
        }
        _ => return Ok(()),
    };
    Err(Usage { message: message.to_owned(), hint: "use text or json" }.into())
}

/// Opens a store for writing. If none exists, creates one and reports that, because the path may be mistyped.
fn open_or_make(arg: &StoreArg, printer: &Printer) -> anyhow::Result<::store::Store> {
    match ::store::Store::open_existing(&arg.store) {
        Err(::store::Error::Absent(_)) => {
            let store = ::store::Store::open(&arg.store)?;
            printer.say(&format!("created a new store at `{}`", arg.store.display()));
            Ok(store)
        }
        Ok(store) if store.is_read_only() => Err(::store::Error::ReadOnly(arg.store.clone()).into()),
        opened => Ok(opened?),
    }
}

/// A store to plan against. If none exists, a temporary empty store and its folder: a dry run creates nothing, and
/// the first one comes before the store.
fn open_or_temporary(
    arg: &StoreArg,
    printer: &Printer,
) -> anyhow::Result<(::store::Store, Option<tempfile::TempDir>)> {
    match ::store::Store::open_existing(&arg.store) {
        Err(::store::Error::Absent(_)) => {
            let folder = temporary_folder("an empty store")?;
            let store = ::store::Store::open(&folder.path().join("store"))?;
            printer.say(&format!("no store at `{}`: planned for an empty store", arg.store.display()));
            Ok((store, Some(folder)))
        }
        opened => Ok((opened?, None)),
    }
}

/// The trust file, if one is given. The event of the work records it.
fn trust(arg: &TrustArg, work: &mut Work<'_>) -> anyhow::Result<Option<TrustFile>> {
    let Some(path) = &arg.trust else { return Ok(None) };
    let text = read(path)?;
    work.policy(path, &text);
    let trust = parse_trust(path, &text, work.printer())?;
    // The digest of the file does not cover a root that the file references by path.
    let roots: BTreeSet<_> =
        trust.identities().iter().map(|known| known.root().digest().to_string()).collect();
    if !roots.is_empty() {
        work.evidence("trustedRoots", &roots.into_iter().collect::<Vec<_>>().join(" "));
    }
    Ok(Some(trust))
}

/// Parses a trust file, and warns about an entry by which older versions let a key sign more than intended.
fn parse_trust(path: &Path, text: &str, printer: &Printer) -> anyhow::Result<TrustFile> {
    let trust = TrustFile::parse_in(text, path.parent().unwrap_or(Path::new("")));
    let trust = trust.with_context(|| format!("`{}` cannot be used", path.display()))?;
    if let Some(warning) = trust.warning(text) {
        printer.complain(&format!("warning: {}, {warning}", path.display()));
    }
    Ok(trust)
}

/// A folder that is deleted on drop.
pub(crate) fn temporary_folder(what: &str) -> anyhow::Result<tempfile::TempDir> {
    tempfile::tempdir().with_context(|| {
        let within = std::env::temp_dir();
        format!(
            "cannot create a folder for {what} in `{}`; to use another folder, set TMPDIR",
            within.display()
        )
    })
}

/// This process, as events record it.
fn event_source() -> ::audit::EventSource {
    ::audit::EventSource::of_process("airlock", env!("CARGO_PKG_VERSION"))
}

/// The current time, in the format of records.
fn now() -> anyhow::Result<packager::witness::Now> {
    let now = time::OffsetDateTime::now_utc().replace_nanosecond(0)?;
    let text = now.format(&time::format_description::well_known::Rfc3339)?;
    Ok(packager::witness::Now { text, seconds: u64::try_from(now.unix_timestamp()).unwrap_or(0) })
}

/// The paths of a drive, as one name.
fn paths(media: &MediaArg) -> String {
    let paths: Vec<_> = media.paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(" ")
}

/// The digests of the items of a lock or a drive.
fn contents(items: &[LockedItem]) -> impl Iterator<Item = String> {
    items.iter().map(|item| item.digest.to_string())
}

/// A shell word, quoted if necessary.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Warns about a private key that other users of the machine can read.
fn warn_of_readable(path: &Path, printer: &Printer) {
    use std::os::unix::fs::PermissionsExt as _;
    if path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o044 != 0) {
        let path = path.display();
        printer.say(&format!(
            "warning: other users can read the private key `{path}`; to keep it secret, run `chmod 600`"
        ));
    }
}

/// Writes a file that the user named, atomically. An existing file is replaced.
pub(crate) fn write(path: &Path, bytes: &[u8], readers: private::Readers) -> anyhow::Result<()> {
    private::publish(path, bytes, private::Existing::Replace, readers)
        .with_context(|| format!("cannot write `{}`", path.display()))
}

/// Reads a text file that the user named, up to the limit for such files.
fn read(path: &Path) -> anyhow::Result<String> {
    input::read_text(path, input::MAX_SIZE).with_context(|| format!("cannot read `{}`", path.display()))
}

/// Reads the CA of a registry's certificate: a file with at least one certificate.
fn ca_certificate(path: &Path) -> anyhow::Result<String> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let text = read(path)?;
    let mut found = CertificateDer::pem_slice_iter(text.as_bytes());
    if matches!(found.next(), Some(Ok(_))) {
        return Ok(text);
    }
    let message = format!("`{}` contains no certificate", path.display());
    let hint = "give the CA of the registry's certificate, PEM: --registry-ca FILE; `airlock serve --self-signed` keeps \
                its CA in the store: tls/ca.crt";
    Err(Usage { message, hint }.into())
}
