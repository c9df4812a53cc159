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
use std::time::{Duration, Instant};

use anyhow::Context as _;
use audit::EventType;
use bundle_signer::statement::COSIGN_SIGN;
use bundle_signer::{ImageName, PublicKey};
use clap::Args;
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
use crate::cli::{KeyArg, ReachArg, cluster_name, duration};
use crate::commands::credentials::Credentials;
use crate::commands::image::{docker_config, interactive_client};
use crate::commands::sign::private;
use crate::commands::tls::ca_certificate;
use crate::failure::{Status, Usage, unusable};
use crate::files::read;
use crate::logged::{Logs, Work};
use crate::printer::Printer;

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    airlock install controller --cluster mgmt --registry registry.site:5000 --registry-ca store/tls/ca.crt --bundle-key release.pub\n  \
    airlock install controller --cluster mgmt --registry registry.site:5000 --registry-ca store/tls/ca.crt --store store --bundle-key release.pub --dry-run\n\n\
    The command can be repeated. Resources that are up to date are unchanged, and a newer binary replaces an older one.")]
pub(crate) struct InstallController {
    /// The name of the management cluster.
    #[arg(long, visible_alias = "cluster-name", value_name = "CLUSTER", value_parser = cluster_name)]
    pub(crate) cluster: String,
    #[command(flatten)]
    pub(crate) reach: ReachArg,
    #[command(flatten)]
    pub(crate) image: ControllerImage,
    #[command(flatten)]
    pub(crate) registry: RegistryArg,
    /// Also sign the image.
    #[command(flatten)]
    pub(crate) key: KeyArg,
    /// The public key that bundles must be signed with, PEM. Default: AWS's key.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle_key: Option<PathBuf>,
    /// The number of replicas.
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub(crate) replicas: u16,
    /// Manifests to apply once everything is ready, such as a `TrustPolicy`. Manifests that would lock
    /// airlock out are refused.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// Keep the cluster's package settings: do not create a `PackageBundleController`.
    #[arg(long)]
    pub(crate) without_settings: bool,
    /// The maximum time to wait for the controller to be ready.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Print the manifests that would be applied, without contacting a cluster.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The image to build.
#[derive(Args, Clone, Debug)]
pub(crate) struct ControllerImage {
    /// The binary to package as an image: a static build of airlock. Default: the running binary.
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
    /// The repository of the image.
    #[arg(long, value_name = "REPOSITORY", default_value = "airlock/airlock")]
    pub(crate) repository: oci::RepositoryName,
}

/// The registry that serves the cluster.
#[derive(Args, Clone, Debug)]
pub(crate) struct RegistryArg {
    /// The registry that nodes and the controller pull from, as HOST or HOST:PORT.
    #[arg(long, value_name = "HOST")]
    pub(crate) registry: oci::RegistryHost,
    /// Write the image to this store, which the registry serves, instead of pushing it.
    #[arg(long = "store", id = "into_store", value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// The CA of the registry's certificate, PEM. The controller trusts no other CA.
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_ca: PathBuf,
    /// A file whose first line is `USER:PASSWORD`, for the controller and the nodes.
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_credentials: Option<PathBuf>,
    /// The repository prefix of charts and images in the registry.
    #[arg(long, value_name = "REPOSITORY")]
    pub(crate) registry_prefix: Option<oci::RepositoryName>,
}

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
        logs.begin_in_cluster(EventType::ClusterInstall, "cluster", &settings.cluster, store, printer)?;
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
    let credentials = registry.registry_credentials.as_deref().map(Credentials::read).transpose()?;
    let docker_config = credentials.map(|given| given.auth_file(&registry.registry).to_string());
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
