//! `airlock install controller` and `airlock uninstall controller`: this program, put into a cluster.
//!
//! - `image`: the program as an image; `manifests`: what is applied, with the site's values
//! - `lockout`: what would lock airlock or the cluster out, and is refused; `judged`: what the cluster has of that
//! - `steps`: what the API server is asked and what is waited for; `remove`: the way back
//!
//! Nothing is applied before everything was read and judged. Webhooks come after what answers them, so that at no
//! time something is asked that is not there.
//!
//! `program -> image -> registry -> manifests -> ready -> webhooks -> settings`

mod image;
mod judged;
mod lockout;
mod manifests;
mod remove;
mod steps;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use audit::EventType;
use bundle_signer::statement::COSIGN_SIGN;
use bundle_signer::{ImageName, PublicKey};
use evidence::EvidenceSource;
use evidence::signing::{Order, sign};
use kube::Client;
use package_api::TrustPolicy;
use registry::client::HostRule;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::image::Image;
use self::judged::{given, judged, labels, refuse_others};
use self::lockout::Labels;
use self::manifests::{Manifests, Site};
pub(super) use self::remove::run as remove;
use self::steps::Line;
use super::cluster::reach::{Answer, connect, version};
use crate::cli::{InstallController, RegistryArg};
use crate::commands::image::{docker_config, impatient};
use crate::commands::sign::private;
use crate::commands::{authority, read};
use crate::failure::{Status, Usage};
use crate::logged::{Logs, Work};
use crate::printer::Printer;

/// What was read and made before anything is changed.
struct Prepared {
    image: Image,
    name: ImageName,
    manifests: Manifests,
    /// Further manifests of the user's.
    extra: Vec<Value>,
    credentials: Option<tempfile::NamedTempFile>,
}

pub(super) async fn run(
    settings: &InstallController,
    logs: &Logs,
    printer: &Printer,
) -> anyhow::Result<Status> {
    if settings.dry_run {
        let order = prepare(settings)?;
        let extra: String =
            order.extra.iter().map(|extra| format!("---\n{}", gostd::yaml::write(extra))).collect();
        let all: Vec<_> = order.manifests.all().chain(&order.extra).collect();
        printer.result(&all, |_| order.manifests.text() + &extra)?;
        return Ok(Status::Done);
    }
    let store = settings.registry.store.as_deref();
    let mut work =
        logs.begin_in_cluster(EventType::ClusterInstall, ("cluster", &settings.cluster), store, printer)?;
    let result = install(settings, &mut work, printer).await;
    work.end(result)
}

/// Reads everything, makes the image, and refuses what would be a lock-out.
fn prepare(settings: &InstallController) -> anyhow::Result<Prepared> {
    let registry = &settings.registry;
    let program = match &settings.image.binary {
        Some(path) => path.clone(),
        None => std::env::current_exe().context("cannot tell which program this is")?,
    };
    let image = Image::of(&program)?;
    let name: ImageName = format!("{}/{}", registry.registry, settings.image.repository).parse()?;
    let docker_config = credentials(registry)?;
    let site = Site {
        cluster: settings.cluster.clone(),
        registry: registry.registry.clone(),
        prefix: registry.registry_prefix.clone(),
        ca: authority(&registry.registry_ca)?,
        docker_config: docker_config.clone(),
        bundle_key: settings.bundle_key.as_deref().map(bundle_key).transpose()?,
        replicas: settings.replicas,
        image: format!("{name}@{}", image.digest),
        settings: !settings.without_settings,
    };
    let manifests = Manifests::of(&site)?;
    let mut extra = Vec::new();
    for path in &settings.file {
        let documents = gostd::yaml::documents(&read(path)?, &gostd::Limits::default());
        let documents = documents.with_context(|| format!("`{}` is not YAML", path.display()))?;
        extra.extend(documents.into_iter().filter(|document| !document.is_null()));
    }
    for manifest in manifests.all().chain(&manifests.webhooks).chain(&extra) {
        if let Some(reason) = is_webhooks(manifest).then(|| lockout::of_webhooks(manifest)).flatten() {
            return Err(locked_out(reason));
        }
        if let Some(policy) = policy(manifest)? {
            // Which labels the cluster's namespace has is not known yet, and changes nothing here.
            lockout::of_policy(policy.name(), &policy.spec, &name, &Labels::new()).map_err(locked_out)?;
        }
    }
    let credentials = docker_config.map(|text| {
        let mut file = tempfile::NamedTempFile::new()?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        anyhow::Ok(file)
    });
    Ok(Prepared { image, name, manifests, extra, credentials: credentials.transpose()? })
}

fn is_webhooks(manifest: &Value) -> bool {
    manifest["kind"] == "ValidatingWebhookConfiguration" || manifest["kind"] == "MutatingWebhookConfiguration"
}

fn policy(manifest: &Value) -> anyhow::Result<Option<TrustPolicy>> {
    if manifest["kind"] != "TrustPolicy" {
        return Ok(None);
    }
    let policy = serde_json::from_value(manifest.clone()).map_err(|error| Usage {
        message: format!("a TrustPolicy cannot be read: {error}"),
        hint: "docs/admission.md has one to begin with",
    })?;
    Ok(Some(policy))
}

fn locked_out(message: String) -> anyhow::Error {
    Usage { message, hint: "nothing was applied; see docs/controller.md for how to start with a policy" }
        .into()
}

/// `USER:PASSWORD` as Docker's configuration.
fn credentials(registry: &RegistryArg) -> anyhow::Result<Option<String>> {
    use base64::Engine as _;
    let Some(path) = &registry.registry_credentials else { return Ok(None) };
    let text = read(path)?;
    let line = text.lines().next().unwrap_or_default();
    if !line.contains(':') {
        let message = format!("the first line of `{}` is not USER:PASSWORD", path.display());
        return Err(Usage { message, hint: "write the registry's user and password there" }.into());
    }
    let auth = base64::engine::general_purpose::STANDARD.encode(line);
    let host = registry.registry.to_string();
    Ok(Some(json!({ "auths": { host: { "auth": auth } } }).to_string()))
}

/// A public key as EKS Anywhere's controller takes it: base64 of its DER form.
fn bundle_key(path: &std::path::Path) -> anyhow::Result<String> {
    let key = PublicKey::from_pem(&read(path)?).map_err(|error| Usage {
        message: format!("`{}` is no public key for bundles: {error}", path.display()),
        hint: "give the public key, as `airlock keys generate` writes it beside the private one: NAME.pub",
    })?;
    Ok(key.to_pem().lines().filter(|line| !line.starts_with('-')).collect())
}

async fn install(
    settings: &InstallController,
    work: &mut Work<'_>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let client = connect(&settings.reach).await?;
    let mut order = prepare(settings)?;
    work.digests([order.image.digest.to_string()]);
    work.evidence("image", &order.name);
    let end = Instant::now() + settings.timeout;
    let server = version(&client).await?;
    let others = refuse_others(&client).await?;
    printer.say(&format!("cluster of Kubernetes {}", server.git_version));
    let place = place(settings, &order)?;
    let there = order.image.put(&place).await.map_err(|error| unpushed(error, settings))?;
    printer.say(&format!(
        "image {}@{} {}",
        order.name,
        order.image.digest,
        if there { "is there" } else { "was made" }
    ));
    if settings.key.key.is_some() {
        signed(settings, &order, &place, work, printer).await?;
    }
    let policies: Vec<_> = others.into_iter().chain(given(&order)?).collect();
    judged(&policies, &order, &place, &labels(&client, &order).await?).await?;
    let lines = steps(&client, settings, &order, end, printer).await?;
    work.evidence("cluster", &server.git_version);
    work.evidence("objects", &lines.len());
    work.done()?;
    let value = json!({
        "cluster": settings.cluster, "image": format!("{}@{}", order.name, order.image.digest), "objects": lines,
    });
    printer.result(&value, |_| text(&lines))?;
    Ok(Status::Done)
}

/// A registry that wants a password wants it for nodes and the controller, too, so that a login on this machine is not
/// enough.
fn unpushed(error: anyhow::Error, settings: &InstallController) -> anyhow::Error {
    use registry::client::Error as E;
    let wants = error.chain().filter_map(|cause| cause.downcast_ref::<E>()).any(E::needs_login);
    if !wants {
        return error;
    }
    let host = &settings.registry.registry;
    let message = format!("{host} takes no push of airlock's image: {}", causes(&error));
    let hint = match &settings.registry.registry_credentials {
        Some(path) => format!(
            "nothing was applied; the first line of `{}` must be USER:PASSWORD of a user who may push to {host}",
            path.display()
        ),
        None => "nothing was applied; give the registry's password by --registry-credentials FILE, whose first line is \
                 USER:PASSWORD; or, where the registry's store is at hand, --store DIR"
            .to_owned(),
    };
    Answer::unreached(message, hint)
}

fn causes(error: &anyhow::Error) -> String {
    brief::causes(error.as_ref()).join(": ")
}

/// Applies in the order in which things need each other.
async fn steps(
    client: &Client,
    settings: &InstallController,
    order: &Prepared,
    end: Instant,
    printer: &Printer,
) -> anyhow::Result<Vec<Line>> {
    let (manifests, mut lines) = (&order.manifests, Vec::new());
    steps::apply(client, &manifests.definitions, &mut lines).await?;
    steps::established(client, &manifests.definitions, end).await?;
    steps::apply(client, &manifests.controller, &mut lines).await?;
    if steps::manages_others(client).await? {
        steps::apply(client, &manifests.workload, &mut lines).await?;
    }
    printer.say("waiting for the controller");
    steps::ready(client, end).await?;
    printer.say("waiting for the webhook to answer the API server");
    steps::answers(client, end).await?;
    steps::apply(client, &manifests.settings, &mut lines).await?;
    steps::apply(client, &order.extra, &mut lines).await?;
    if !settings.without_settings {
        printer.say("ready; `airlock get packagebundlecontrollers` shows the active bundle");
    }
    Ok(lines)
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| format!("{} {}\n", line.object, line.did.word())).collect()
}

/// Where the image goes.
fn place(settings: &InstallController, order: &Prepared) -> anyhow::Result<EvidenceSource> {
    let (arg, repository) = (&settings.registry, settings.image.repository.clone());
    if let Some(folder) = &arg.store {
        return Ok(EvidenceSource::Store(store::Store::open_existing(folder)?, repository));
    }
    let host = arg.registry.clone();
    let ca_pem = Some(authority(&arg.registry_ca)?.into_bytes());
    let rule = HostRule {
        endpoint: host.endpoint().parse()?,
        host: host.clone(),
        prefix: None,
        plain_http: false,
        ca_pem,
    };
    let given = order.credentials.as_ref().map(|file| PathBuf::from(file.path()));
    let docker_config = given.or_else(docker_config);
    Ok(EvidenceSource::Registry(impatient(vec![rule], docker_config)?, host, repository))
}

/// Signs the image in both of cosign's formats.
async fn signed(
    settings: &InstallController,
    order: &Prepared,
    place: &EvidenceSource,
    work: &mut Work<'_>,
    printer: &Printer,
) -> anyhow::Result<()> {
    let key = private(&settings.key, printer)?;
    let manifest = &order.image.manifest;
    let size = manifest.bytes().len() as u64;
    let target = oci::Descriptor::new(manifest.media_type().clone(), order.image.digest.clone(), size);
    let created = OffsetDateTime::now_utc().replace_nanosecond(0)?.format(&Rfc3339)?;
    let what = Order {
        key: &key,
        name: &order.name,
        annotations: &BTreeMap::new(),
        predicate_type: COSIGN_SIGN,
        predicate: None,
        legacy: true,
        bundle: true,
        created: &created,
    };
    sign(place, &target, &what).await?;
    work.evidence("key", &key.public_key()?.hint());
    Ok(())
}
