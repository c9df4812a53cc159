//! `airlock sign` and `airlock attest`.

mod locked;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use audit::EventType;
use bundle_signer::PrivateKey;
use bundle_signer::eksa::{Coverage, cosign_bundle, sign_bundle};
use bundle_signer::statement::COSIGN_SIGN;
use evidence::resolve;
use evidence::signing::{SignRequest, Written, sign, targets};
use oci::Digest;
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::{Attest, ImageArg, KeyArg, Sign, SignFile, SignFormat, SigningArg};
use crate::commands::image::Image;
use crate::commands::keys;
use crate::failure::{Status, Usage, unusable};
use crate::files::{Output, read};
use crate::logged::{Logs, Work};
use crate::printer::{Printer, count};

/// A statement to sign about an image.
struct Statement<'a> {
    event: EventType,
    predicate_type: &'a str,
    predicate: Option<Value>,
}

pub(crate) async fn run(settings: &Sign, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    match &settings.what {
        Some(SignFile::Bundle { file, key, without_source, add, to }) => {
            let name = file.display().to_string();
            let mut work = logs.begin(EventType::Sign, ("manifest", &name), None, printer)?;
            let how = match (add, without_source) {
                (true, _) => BundleSigning::Add,
                (false, true) => BundleSigning::Sign(Coverage::WithoutSource),
                (false, false) => BundleSigning::Sign(Coverage::Full),
            };
            let result = bundle(file, key, how, to.as_deref(), (&mut work, printer));
            work.end(result)
        }
        None => {
            let statement =
                Statement { event: EventType::Sign, predicate_type: COSIGN_SIGN, predicate: None };
            let (key, how) = (&settings.key, &settings.how);
            let Some(lock) = &settings.lock else {
                return sign_one(&statement, (&settings.image, key, how), logs, printer).await;
            };
            let mut all = Vec::new();
            let images = locked::images(lock, &settings.image, settings.registry_name.as_ref())?;
            // Ask for the password once.
            let key = if how.dry_run { Key::None } else { Key::Loaded(&private(key, printer)?) };
            for image in &images {
                all.push(sign_and_log(&statement, (image, key, how), logs, printer).await?);
            }
            printer.report(&all, |all| all.iter().map(text).collect())?;
            Ok(Status::Done)
        }
    }
}

pub(crate) async fn attest(settings: &Attest, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let path = settings.predicate.display();
    let predicate: Value = serde_json::from_str(&read(&settings.predicate)?).map_err(|error| Usage {
        message: format!("`{path}` is not JSON: {error}"),
        hint: "a predicate is the JSON document itself, without a statement or envelope around it",
    })?;
    let statement =
        Statement { event: EventType::Attest, predicate_type: &settings.kind, predicate: Some(predicate) };
    sign_one(&statement, (&settings.image, &settings.key, &settings.how), logs, printer).await
}

async fn sign_one(
    statement: &Statement<'_>,
    (image, key, how): (&ImageArg, &KeyArg, &SigningArg),
    logs: &Logs,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let key = if how.dry_run { Key::None } else { Key::Named(key) };
    printer.report(&sign_and_log(statement, (image, key, how), logs, printer).await?, text)?;
    Ok(Status::Done)
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

/// Signs one image and logs it; a dry run signs nothing.
async fn sign_and_log(
    statement: &Statement<'_>,
    (image, key, how): (&ImageArg, Key<'_>, &SigningArg),
    logs: &Logs,
    printer: &Printer,
) -> anyhow::Result<SignReport> {
    if how.dry_run {
        return sign_image(statement, (image, key, how), None, printer).await;
    }
    let name = image.reference.clone().unwrap_or_default();
    let mut work = logs.begin(statement.event, ("image", &name), image.store.as_deref(), printer)?;
    let result = sign_image(statement, (image, key, how), Some(&mut work), printer).await;
    work.end(result)
}

async fn sign_image(
    statement: &Statement<'_>,
    (image, key, how): (&ImageArg, Key<'_>, &SigningArg),
    work: Option<&mut Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<SignReport> {
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

/// How to sign a bundle.
#[derive(Clone, Copy)]
enum BundleSigning {
    /// With a new signature.
    Sign(Coverage),
    /// With a signature in addition to the existing ones.
    Add,
}

fn bundle(
    file: &Path,
    key: &KeyArg,
    how: BundleSigning,
    to: Option<&Path>,
    (work, printer): (&mut Work<'_>, &Printer),
) -> anyhow::Result<Status> {
    let to = to.map_or(Ok(Output::Stdout), Output::of)?;
    let text = read(file)?;
    work.digests([Digest::sha256(text.as_bytes()).to_string()]);
    let key = private(key, printer)?;
    work.evidence("key", &key.public_key()?.hint());
    let refused = format!("`{}` cannot be signed", file.display());
    let signed = match how {
        BundleSigning::Sign(coverage) => {
            sign_bundle(text.as_bytes(), coverage, &key).map_err(unusable(refused))?
        }
        // The existing signatures are checked, so this is a refusal.
        BundleSigning::Add => cosign_bundle(text.as_bytes(), &key).context(refused)?,
    };
    work.digests([Digest::sha256(signed.yaml().as_bytes()).to_string()]);
    for uncovered in signed.uncovered() {
        printer.say(&format!("not covered by the signature: {} ({})", uncovered.path(), uncovered.reason()));
    }
    to.replace(signed.yaml())?;
    work.done()?;
    if let Output::File(path) = to {
        let value = json!({ "file": path, "notCovered": signed.uncovered() });
        printer.result(&value, |_| format!("wrote {}\n", path.display()))?;
    } else {
        printer.data(signed.yaml())?;
    }
    Ok(Status::Done)
}
