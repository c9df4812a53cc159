//! `airlock sign` and `airlock attest`.

mod bundle;
mod locked;

use std::collections::BTreeMap;
use std::path::PathBuf;

use audit::EventType;
use bundle_signer::PrivateKey;
use bundle_signer::statement::COSIGN_SIGN;
use clap::{Args, ValueEnum};
use evidence::resolve;
use evidence::signing::{SignRequest, Written, sign, targets};
use oci::Digest;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::bundle::SignFile;
pub(super) use self::bundle::say_uncovered;
use crate::cli::{ImageArg, KeyArg, predicate_type};
use crate::commands::image::Image;
use crate::commands::keys;
use crate::failure::{Status, Usage};
use crate::files::read;
use crate::logged::{Logs, Work};
use crate::printer::{Printer, count};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  \
        airlock sign registry.example/team/app:v1 --key release.key\n  \
        airlock sign registry.example/team/app:v1 --key release.key --store store --recursive -a sequence=12\n  \
        airlock sign --lock airlock.lock --store store --key release.key\n  \
        airlock sign bundle package-bundle.yaml --key release.key",
    mut_arg("reference", |argument| argument.required(false).required_unless_present("lock"))
)]
pub(crate) struct Sign {
    #[command(subcommand)]
    pub(crate) what: Option<SignFile>,
    #[command(flatten)]
    pub(crate) image: ImageArg,
    /// Sign everything that this lock file lists, in the store, each under its upstream name.
    #[arg(long, value_name = "FILE", requires = "in_store", conflicts_with_all = ["reference", "name"])]
    pub(crate) lock: Option<PathBuf>,
    /// With --lock: the registry name for content without an upstream registry, such as local files and
    /// charts.
    #[arg(long, value_name = "HOST[:PORT]", requires = "lock")]
    pub(crate) registry_name: Option<oci::RegistryHost>,
    #[command(flatten)]
    pub(crate) key: KeyArg,
    #[command(flatten)]
    pub(crate) how: SigningArg,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    airlock attest registry.example/team/app:v1 --predicate sbom.spdx.json --type spdxjson --key release.key\n  \
    airlock attest registry.example/team/app:v1 --predicate scan.json --type https://example.com/scan/v1 --key release.key --store store\n\n\
    As with cosign, `slsaprovenance` is version 0.2 and `slsaprovenance1` version 1.0.")]
pub(crate) struct Attest {
    #[command(flatten)]
    pub(crate) image: ImageArg,
    /// The predicate, a JSON file.
    #[arg(long, value_name = "FILE")]
    pub(crate) predicate: PathBuf,
    /// The predicate type: slsaprovenance, slsaprovenance1, spdx, spdxjson, cyclonedx, vuln, vsa, openvex,
    /// custom, or a URI.
    #[arg(long = "type", value_name = "TYPE", value_parser = predicate_type)]
    pub(crate) kind: String,
    #[command(flatten)]
    pub(crate) key: KeyArg,
    #[command(flatten)]
    pub(crate) how: SigningArg,
}

/// How to sign.
#[derive(Clone, Debug, Args)]
pub(crate) struct SigningArg {
    /// The cosign format.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "legacy,bundle")]
    pub(crate) format: Vec<SignFormat>,
    /// For an index: also sign its images.
    #[arg(long, short)]
    pub(crate) recursive: bool,
    /// An annotation to sign along with the digest and name. airlock interprets `sequence` and `class`.
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = annotation)]
    pub(crate) annotation: Vec<(String, String)>,
    /// Print what would be signed, without signing it.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SignFormat {
    /// Tags `.sig` and `.att`, which cosign 1 and 2 read.
    Legacy,
    /// A sigstore bundle v0.3 as a referrer, which cosign 3 reads.
    Bundle,
}

fn annotation(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("name", _)) => Err("set the name with `--name`".to_owned()),
        Some(("sequence", value)) if value.parse::<u64>().map(|n| n.to_string()).as_deref() != Ok(value) => {
            Err("the sequence must be a whole number".to_owned())
        }
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// A statement to sign about an image.
struct Statement<'a> {
    event: EventType,
    predicate_type: &'a str,
    predicate: Option<Value>,
}

/// One image to sign a statement about.
struct Signing<'a> {
    statement: &'a Statement<'a>,
    image: &'a ImageArg,
    key: Key<'a>,
    how: &'a SigningArg,
}

/// The signing key.
#[derive(Clone, Copy)]
enum Key<'a> {
    /// None, for a dry run.
    None,
    /// A key that is not open yet: a failure to open it is logged.
    Named(&'a KeyArg),
    Loaded(&'a PrivateKey),
}

pub(crate) async fn run(settings: &Sign, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    if let Some(SignFile::Bundle(settings)) = &settings.what {
        return bundle::run(settings, logs, printer);
    }
    let statement = &Statement { event: EventType::Sign, predicate_type: COSIGN_SIGN, predicate: None };
    let (key, how) = (&settings.key, &settings.how);
    let Some(lock) = &settings.lock else {
        let key = Key::named(key, how);
        return sign_one(&Signing { statement, image: &settings.image, key, how }, logs, printer).await;
    };
    let mut all = Vec::new();
    let images = locked::images(lock, &settings.image, settings.registry_name.as_ref())?;
    // Ask for the password once.
    let key = if how.dry_run { Key::None } else { Key::Loaded(&private(key, printer)?) };
    for image in &images {
        all.push(sign_and_log(&Signing { statement, image, key, how }, logs, printer).await?);
    }
    printer.report(&all, |all| all.iter().map(text).collect())?;
    Ok(Status::Done)
}

pub(crate) async fn attest(settings: &Attest, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let path = settings.predicate.display();
    let predicate: Value = serde_json::from_str(&read(&settings.predicate)?).map_err(|error| Usage {
        message: format!("`{path}` is not JSON: {error}"),
        hint: "a predicate is the JSON document itself, without a statement or envelope around it",
    })?;
    let statement =
        &Statement { event: EventType::Attest, predicate_type: &settings.kind, predicate: Some(predicate) };
    let (image, how) = (&settings.image, &settings.how);
    let key = Key::named(&settings.key, how);
    sign_one(&Signing { statement, image, key, how }, logs, printer).await
}

impl<'a> Key<'a> {
    fn named(key: &'a KeyArg, how: &SigningArg) -> Self {
        if how.dry_run { Self::None } else { Self::Named(key) }
    }
}

async fn sign_one(signing: &Signing<'_>, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    printer.report(&sign_and_log(signing, logs, printer).await?, text)?;
    Ok(Status::Done)
}

/// Signs one image and logs it; a dry run signs nothing.
async fn sign_and_log(signing: &Signing<'_>, logs: &Logs, printer: &Printer) -> anyhow::Result<SignReport> {
    if signing.how.dry_run {
        return sign_image(signing, None, printer).await;
    }
    let (event, image) = (signing.statement.event, signing.image);
    let name = image.reference.clone().unwrap_or_default();
    let mut work = logs.begin(event, "image", &name, image.store.as_deref(), printer)?;
    let result = sign_image(signing, Some(&mut work), printer).await;
    work.end(result)
}

async fn sign_image(
    signing: &Signing<'_>,
    work: Option<&mut Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<SignReport> {
    let Signing { statement, image, key, how } = *signing;
    let image = Image::find(image)?;
    let opened = if let Key::Named(key) = key { Some(private(key, printer)?) } else { None };
    let key = if let Key::Loaded(key) = key { Some(key) } else { opened.as_ref() };
    let root = resolve(&image.source, &image.selector).await?;
    let (images, absent) = targets(&image.source, root, how.recursive).await?;
    if absent > 0 {
        printer.say(&format!("not signed: {} of the index, not present here", count(absent, "image")));
    }
    let annotations: BTreeMap<_, _> = how.annotation.iter().cloned().collect();
    let (legacy, bundle) =
        (how.format.contains(&SignFormat::Legacy), how.format.contains(&SignFormat::Bundle));
    let mut written = Vec::new();
    if let Some(key) = key {
        let created = OffsetDateTime::now_utc().replace_nanosecond(0)?.format(&Rfc3339)?;
        let request = SignRequest {
            key,
            name: &image.name,
            annotations: &annotations,
            predicate_type: statement.predicate_type,
            predicate: statement.predicate.as_ref(),
            legacy,
            bundle,
            created: &created,
        };
        for target in &images {
            written.extend(sign(&image.source, target, &request).await?);
        }
    }
    let digests: Vec<_> = images.iter().map(|image| &image.digest).collect();
    if let (Some(work), Some(key)) = (work, key) {
        work.digests(digests.iter().map(ToString::to_string));
        work.evidence("key", &key.public_key()?.hint());
        work.evidence("name", &image.name);
        work.evidence("predicateType", statement.predicate_type);
        if let Some(predicate) = &statement.predicate {
            work.evidence("predicate", &Digest::sha256(predicate.to_string().as_bytes()));
        }
        work.done()?;
    }
    Ok(SignReport {
        image: image.text,
        name: image.name.to_string(),
        predicate_type: statement.predicate_type.to_owned(),
        images: images.into_iter().map(|image| image.digest).collect(),
        annotations,
        written,
        dry_run: how.dry_run,
        formats: [(legacy, "legacy"), (bundle, "bundle")]
            .into_iter()
            .filter_map(|(wanted, name)| wanted.then_some(name))
            .collect(),
    })
}

/// The report: what was signed, or would be.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SignReport {
    image: String,
    name: String,
    predicate_type: String,
    images: Vec<Digest>,
    annotations: BTreeMap<String, String>,
    written: Vec<Written>,
    dry_run: bool,
    #[serde(skip)]
    formats: Vec<&'static str>,
}

fn text(report: &SignReport) -> String {
    let head = format!("{} as {}\n", report.image, report.name);
    if report.dry_run {
        let line = |digest| format!("would sign {digest} ({})\n", report.formats.join(", "));
        return head + &report.images.iter().map(line).collect::<String>();
    }
    head + &report.written.iter().map(line).collect::<String>()
}

fn line(written: &Written) -> String {
    let did = if written.present { "already signed" } else { "signed" };
    format!("{did} {} ({}) at {}\n", written.image, written.format, written.at)
}

pub(super) fn private(key: &KeyArg, printer: &Printer) -> anyhow::Result<PrivateKey> {
    let path = key.key.as_deref().ok_or_else(|| Usage {
        message: "signing needs a private key".to_owned(),
        hint: "give --key FILE; `airlock keys generate` creates one",
    })?;
    keys::load(path, &key.password, printer)
}
