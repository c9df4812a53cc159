//! `airlock install controller` and `airlock uninstall controller`: the running binary, installed in a cluster.
//!
//! - `image`: the binary as an image; `manifests`: the manifests to apply, with the site's values
//! - `lockout`: refuses manifests that would lock out airlock or the cluster; `judged`: checks the cluster for such objects
//! - `steps`: requests to the API server, and waiting; `remove`: uninstalling
//!
//! Nothing is applied before everything is read and checked. Webhooks are created after their servers are ready, so that
//! the API server never calls a webhook without a server.
//!
//! `binary -> image -> registry -> manifests -> ready -> webhooks -> settings`

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
use evidence::signing::{SignRequest, sign};
use kube::Client;
use package_api::TrustPolicy;
use registry::client::HostRule;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::image::Image;
use self::judged::{check_policies, labels, policies_from_files, refuse_others};
use self::lockout::Labels;
use self::manifests::{Manifests, Site};
pub(super) use self::remove::{UninstallController, run as remove};
use self::steps::Line;
use super::cluster::reach::{ClusterError, connect, version};
use crate::cli::{InstallController, RegistryArg};
use crate::commands::image::{docker_config, interactive_client};
use crate::commands::sign::private;
use crate::commands::tls::ca_certificate;
use crate::failure::{Status, Usage, unusable};
use crate::files::read;
use crate::logged::{Logs, Work};
use crate::printer::Printer;

/// Everything that is prepared before the first change.
struct Prepared {
    image: Image,
    name: ImageName,
    manifests: Manifests,
    /// Additional manifests from the user.
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

/// Reads everything, builds the image, and refuses manifests that would cause a lock-out.
fn prepare(settings: &InstallController) -> anyhow::Result<Prepared> {
    let registry = &settings.registry;
    let binary = match &settings.image.binary {
        Some(path) => path.clone(),
        None => std::env::current_exe().context("cannot determine the path of the running binary")?,
    };
    let image = Image::of(&binary)?;
    let name: ImageName = format!("{}/{}", registry.registry, settings.image.repository).parse()?;
    let docker_config = credentials(registry)?;
    let site = Site {
        cluster: settings.cluster.clone(),
        registry: registry.registry.clone(),
        prefix: registry.registry_prefix.clone(),
        ca: ca_certificate(&registry.registry_ca)?,
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
        let documents = documents.map_err(unusable(format!("`{}` is not YAML", path.display())))?;
        extra.extend(documents.into_iter().filter(|document| !document.is_null()));
    }
    for manifest in manifests.all().chain(&manifests.webhooks).chain(&extra) {
        if let Some(reason) = is_webhooks(manifest).then(|| lockout::of_webhooks(manifest)).flatten() {
            return Err(locked_out(reason));
        }
        if let Some(policy) = policy(manifest)? {
            // The labels of the cluster's namespace are not known yet, and do not matter here.
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
        message: format!("cannot read a TrustPolicy: {error}"),
        hint: "see docs/admission.md for an example",
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
        message: format!("`{}` is not a public key for bundles: {error}", path.display()),
        hint: "give the public key, which `airlock keys generate` writes to NAME.pub",
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
    printer.say(&format!("the cluster runs Kubernetes {}", server.git_version));
    let destination = destination(settings, &order)?;
    let exists = order.image.put(&destination).await.map_err(|error| unpushed(error, settings))?;
    printer.say(&format!(
        "image {}@{} {}",
        order.name,
        order.image.digest,
        if exists { "already exists" } else { "created" }
    ));
    if settings.key.key.is_some() {
        sign_image(settings, &order, &destination, work, printer).await?;
    }
    let policies: Vec<_> = others.into_iter().chain(policies_from_files(&order)?).collect();
    check_policies(&policies, &order, &destination, &labels(&client, &order).await?).await?;
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

/// A registry that requires a password requires it from nodes and the controller, too, so a login on this machine is
/// not enough.
fn unpushed(error: anyhow::Error, settings: &InstallController) -> anyhow::Error {
    use registry::client::Error as E;
    let host = &settings.registry.registry;
    let mut clients = error.chain().filter_map(|cause| cause.downcast_ref::<E>());
    if clients.clone().any(E::is_not_tls) {
        let message = format!("{host} does not use TLS: {}", causes(&error));
        let hint = "nothing was applied; check the host and the port: nodes and the controller pull over TLS";
        return ClusterError::registry_failed(message, hint.to_owned());
    }
    if !clients.any(E::needs_login) {
        return error;
    }
    let message = format!("{host} refuses the push of airlock's image: {}", causes(&error));
    let hint = match &settings.registry.registry_credentials {
        Some(path) => format!(
            "nothing was applied; the first line of `{}` must be USER:PASSWORD of a user who may push to {host}",
            path.display()
        ),
        None => "nothing was applied; give the registry's password with --registry-credentials FILE, whose first line is \
                 USER:PASSWORD; or, if the registry's store is on this machine, give --store DIR"
            .to_owned(),
    };
    ClusterError::registry_failed(message, hint)
}

fn causes(error: &anyhow::Error) -> String {
    error_text::causes(error.as_ref()).join(": ")
}

/// Applies the manifests in the order of their dependencies.
async fn steps(
    client: &Client,
    settings: &InstallController,
    order: &Prepared,
    end: Instant,
    printer: &Printer,
) -> anyhow::Result<Vec<Line>> {
    let (manifests, mut lines) = (&order.manifests, Vec::new());
    steps::apply(client, &manifests.namespace_and_crds, &mut lines).await?;
    steps::established(client, &manifests.namespace_and_crds, end).await?;
    steps::apply(client, &manifests.controller, &mut lines).await?;
    if steps::manages_workload_clusters(client).await? {
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
    lines.iter().map(|line| format!("{} {}\n", line.object, line.did.as_str())).collect()
}

/// The destination of the image.
fn destination(settings: &InstallController, order: &Prepared) -> anyhow::Result<EvidenceSource> {
    let (arg, repository) = (&settings.registry, settings.image.repository.clone());
    if let Some(folder) = &arg.store {
        return Ok(EvidenceSource::Store(store::Store::open_existing(folder)?, repository));
    }
    let host = arg.registry.clone();
    let ca_pem = Some(ca_certificate(&arg.registry_ca)?.into_bytes());
    let rule = HostRule {
        endpoint: host.endpoint().parse()?,
        host: host.clone(),
        prefix: None,
        plain_http: false,
        ca_pem,
    };
    let given = order.credentials.as_ref().map(|file| PathBuf::from(file.path()));
    let docker_config = given.or_else(docker_config);
    Ok(EvidenceSource::Registry(interactive_client(vec![rule], docker_config)?, host, repository))
}

/// Signs the image in both of cosign's formats.
async fn sign_image(
    settings: &InstallController,
    order: &Prepared,
    destination: &EvidenceSource,
    work: &mut Work<'_>,
    printer: &Printer,
) -> anyhow::Result<()> {
    let key = private(&settings.key, printer)?;
    let manifest = &order.image.manifest;
    let size = manifest.bytes().len() as u64;
    let target = oci::Descriptor::new(manifest.media_type().clone(), order.image.digest.clone(), size);
    let created = OffsetDateTime::now_utc().replace_nanosecond(0)?.format(&Rfc3339)?;
    let request = SignRequest {
        key: &key,
        name: &order.name,
        annotations: &BTreeMap::new(),
        predicate_type: COSIGN_SIGN,
        predicate: None,
        legacy: true,
        bundle: true,
        created: &created,
    };
    sign(destination, &target, &request).await?;
    work.evidence("key", &key.public_key()?.hint());
    Ok(())
}
