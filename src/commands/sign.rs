//! `airlock sign` and `airlock attest`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use bundle_signer::eksa::{Coverage, sign_bundle};
use bundle_signer::statement::COSIGN_SIGN;
use packager::evidence::resolve;
use packager::evidence::signing::{Order, Written, sign, targets};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::{Attest, HowArg, ImageArg, KeyArg, Sign, SignFile, SignFormat};
use crate::commands::image::Image;
use crate::commands::{keys, read};
use crate::failure::{Status, Usage};
use crate::printer::Printer;

/// What is said of an image.
struct Word<'a> {
    predicate_type: &'a str,
    predicate: Option<Value>,
}

pub(crate) async fn run(settings: &Sign, printer: &Printer) -> anyhow::Result<Status> {
    match &settings.what {
        Some(SignFile::Bundle { file, key, without_source, to }) => {
            bundle(file, key, *without_source, to.as_deref(), printer)
        }
        None => {
            let word = Word { predicate_type: COSIGN_SIGN, predicate: None };
            say(&word, &settings.image, &settings.key, &settings.how, printer).await
        }
    }
}

pub(crate) async fn attest(settings: &Attest, printer: &Printer) -> anyhow::Result<Status> {
    let path = settings.predicate.display();
    let predicate: Value = serde_json::from_str(&read(&settings.predicate)?).map_err(|error| Usage {
        message: format!("`{path}` is not JSON: {error}"),
        hint: "a predicate is the JSON document itself, without a statement or envelope around it",
    })?;
    let word = Word { predicate_type: &settings.kind, predicate: Some(predicate) };
    say(&word, &settings.image, &settings.key, &settings.how, printer).await
}

async fn say(
    word: &Word<'_>,
    image: &ImageArg,
    key: &KeyArg,
    how: &HowArg,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let image = Image::find(image)?;
    let key = if how.dry_run { None } else { Some(private(key, printer)?) };
    let root = resolve(&image.place, &image.selector).await?;
    let (images, absent) = targets(&image.place, root, how.recursive).await?;
    if absent > 0 {
        printer.say(&format!("{absent} images of the index are not there, and are not signed"));
    }
    let annotations: BTreeMap<_, _> = how.annotation.iter().cloned().collect();
    let (legacy, bundle) =
        (how.format.contains(&SignFormat::Legacy), how.format.contains(&SignFormat::Bundle));
    let mut written = Vec::new();
    if let Some(key) = &key {
        let created = OffsetDateTime::now_utc().replace_nanosecond(0)?.format(&Rfc3339)?;
        let order = Order {
            key,
            name: &image.name,
            annotations: &annotations,
            predicate_type: word.predicate_type,
            predicate: word.predicate.as_ref(),
            legacy,
            bundle,
            created: &created,
        };
        for target in &images {
            written.extend(sign(&image.place, target, &order).await?);
        }
    }
    let digests: Vec<_> = images.iter().map(|image| &image.digest).collect();
    let value = json!({
        "image": image.text, "name": image.name.to_string(), "predicateType": word.predicate_type,
        "images": digests, "annotations": annotations, "written": written, "dryRun": how.dry_run,
    });
    printer.result(&value, |_| {
        let head = format!("{} as {}\n", image.text, image.name);
        if how.dry_run {
            let formats: Vec<_> = [(legacy, "legacy"), (bundle, "bundle")]
                .into_iter()
                .filter_map(|(wanted, name)| wanted.then_some(name))
                .collect();
            let line = |digest| format!("would sign {digest} ({})\n", formats.join(", "));
            return head + &digests.iter().map(line).collect::<String>();
        }
        head + &written.iter().map(line).collect::<String>()
    })?;
    Ok(Status::Done)
}

fn line(written: &Written) -> String {
    let did = if written.present { "signed before" } else { "signed" };
    format!("{did} {} ({}) at {}\n", written.image, written.format, written.at)
}

pub(super) fn private(key: &KeyArg, printer: &Printer) -> anyhow::Result<bundle_signer::PrivateKey> {
    let path = key.key.as_deref().ok_or_else(|| Usage {
        message: "signing needs a private key".to_owned(),
        hint: "give --key FILE; `airlock keys generate` makes one",
    })?;
    keys::load(path, &key.password, printer)
}

fn bundle(
    file: &Path,
    key: &KeyArg,
    without_source: bool,
    to: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let text = read(file)?;
    let coverage = if without_source { Coverage::WithoutSource } else { Coverage::Full };
    let refused = || format!("`{}` cannot be signed", file.display());
    let signed = sign_bundle(text.as_bytes(), coverage, &private(key, printer)?).with_context(refused)?;
    for uncovered in signed.uncovered() {
        printer.say(&format!("not covered by the signature: {} ({})", uncovered.path(), uncovered.why()));
    }
    match to {
        None => printer.data(signed.yaml())?,
        Some(path) => {
            std::fs::write(path, signed.yaml())
                .with_context(|| format!("cannot write `{}`", path.display()))?;
            let value = json!({ "file": path, "notCovered": signed.uncovered() });
            printer.result(&value, |_| format!("wrote {}\n", path.display()))?;
        }
    }
    Ok(Status::Done)
}
