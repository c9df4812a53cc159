//! `airlock quickstart`: a small upstream, transferred on a drive and served.

mod upstream;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use audit::EventType;
use clap::{Args, Parser as _};
use oci::{RegistryHost, Selector};
use private::Readers;
use registry::client::{Client, ClientConfig, HostRule};
use registry::server::{ServerConfig, serve};

use crate::cli::{Cli, Command, listen};
use crate::commands::serve::{ended, listen_near, observer, write_address};
use crate::commands::{import, keys, mirror_images, pack, verify};
use crate::failure::{Status, Usage};
use crate::files::check_folder;
use crate::logged::Logs;
use crate::printer::{Printer, quoted};

/// The upstream's name. The site's registry has its images below it.
const HOST: &str = "registry.example";

#[derive(Debug, Args)]
pub(crate) struct Quickstart {
    /// The folder to create everything in.
    #[arg(long, default_value = "airlock-quickstart", value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The address and port. If the port is in use, the next free port is used.
    #[arg(long, default_value = "127.0.0.1:5000", value_name = "ADDRESS", value_parser = listen)]
    pub(crate) listen: SocketAddr,
    /// Exit after all checks, for scripts.
    #[arg(long)]
    pub(crate) exit: bool,
    /// Write the URL to this file when the server is ready.
    #[arg(long, value_name = "FILE")]
    pub(crate) address_file: Option<PathBuf>,
}

pub(crate) async fn run(settings: &Quickstart, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    if !settings.listen.ip().is_loopback() {
        let message = format!(
            "`{}` is reachable by other machines, which could push without a password",
            settings.listen
        );
        return Err(Usage {
            message,
            hint: "listen on localhost; to serve other machines, use `airlock serve`",
        }
        .into());
    }
    let dir = &settings.dir;
    check_folder(dir)?;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
    printer.say("1. create a small upstream: this binary as an image, a Helm chart, a file");
    let image = upstream::make(dir)?;
    let near = listen_near("127.0.0.1:0".parse()?).await?;
    let upstream = near.local_addr()?;
    let store = store::Store::open(&dir.join("upstream"))?;
    let config = ServerConfig { read_only: true, ..open_to_all(store) };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(async move { serve(near, None, config, async { drop(stopped.await) }).await });
    // Each side logs to its own store; work without a store is logged by the near side.
    let logs = Logs { default_store: Some(dir.join("near")), ..logs.clone() };
    Box::pin(transfer(dir, &upstream.to_string(), &logs, printer)).await?;
    drop(stop);
    server.await??;

    let listener = listen_near(settings.listen).await?;
    let address = listener.local_addr()?;
    printer.say(&format!("6. serve the site's store on http://{address}"));
    let site = dir.join("site");
    let mut work =
        logs.begin(EventType::ServeStart, "store", &site.display().to_string(), Some(&site), printer)?;
    work.evidence("url", &format!("http://{address}"));
    let store = store::Store::open_existing(&site)?;
    let config = ServerConfig { observer: observer(work.journals()?, &store), ..open_to_all(store) };
    work.done()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let end = async {
        tokio::select! {
            () = ended() => {}
            _ = stopped => {}
        }
    };
    let server = tokio::spawn(async move { serve(listener, None, config, end).await });
    check(&address.to_string(), &image).await?;
    printer.data(&commands(&address.to_string(), dir, &image, settings.exit))?;
    write_address(settings.address_file.as_deref(), &format!("http://{address}"))?;
    let stopped =
        logs.begin(EventType::ServeStop, "store", &site.display().to_string(), Some(&site), printer)?;
    if settings.exit {
        drop(stop);
        return stopped.end(server.await?.map(|()| Status::Done).map_err(anyhow::Error::from));
    }
    printer.say("serving until Ctrl-C");
    let result = server.await?;
    drop(stop);
    stopped.end(result.map(|()| Status::Done).map_err(anyhow::Error::from))
}

/// A server on loopback that requires no password.
fn open_to_all(store: store::Store) -> ServerConfig {
    ServerConfig::new(store)
}

fn put(dir: &Path, name: &str, text: &str, readers: Readers) -> anyhow::Result<()> {
    crate::files::write(&dir.join(name), text.as_bytes(), readers)
}

/// Runs mirror, keys, pack, verify and import as a user would.
async fn transfer(dir: &Path, upstream: &str, logs: &Logs, printer: &Printer) -> anyhow::Result<()> {
    let path = |name: &str| dir.join(name).display().to_string();
    put(dir, "airlock.yaml", &mirror_file(upstream), Readers::All)?;
    printer.say(&format!("2. airlock mirror: {} into {}", path("airlock.yaml"), path("near")));
    run_command(
        &[
            "mirror",
            "-f",
            &path("airlock.yaml"),
            "--store",
            &path("near"),
            "--lock",
            &path("airlock.lock"),
            "--update",
        ],
        logs,
        printer,
    )
    .await?;
    printer.say("3. airlock keys, airlock pack: signed volumes in a folder that represents a drive");
    if !dir.join("quickstart.key").exists() {
        put(dir, "password", "quickstart\n", Readers::Owner)?;
        let (name, password) = (path("quickstart"), path("password"));
        run_command(&["keys", "generate", &name, "--password-file", &password], logs, printer).await?;
        let (key, trust) = (path("quickstart.pub"), path("trust.yaml"));
        let log = path("near/log/key.pub");
        run_command(&["keys", "trust", &key, "--log", &log, "--to", &trust], logs, printer).await?;
    }
    let drive = dir.join("drive");
    if drive.exists() {
        std::fs::remove_dir_all(&drive)?;
    }
    run_command(
        &[
            "pack",
            "--lock",
            &path("airlock.lock"),
            "--store",
            &path("near"),
            "--to",
            &path("drive"),
            "--key",
            &path("quickstart.key"),
            "--password-file",
            &path("password"),
        ],
        logs,
        printer,
    )
    .await?;
    printer.say("4. airlock verify: the signature and every byte of the drive");
    run_command(&["verify", &path("drive"), "--trust", &path("trust.yaml")], logs, printer).await?;
    printer.say(&format!("5. airlock import: the drive into {}", path("site")));
    run_command(
        &["import", &path("drive"), "--trust", &path("trust.yaml"), "--store", &path("site")],
        logs,
        printer,
    )
    .await
}

/// Runs a command as if it had been typed.
async fn run_command(arguments: &[&str], logs: &Logs, printer: &Printer) -> anyhow::Result<()> {
    let shown: Vec<String> = arguments.iter().map(|argument| quoted(argument)).collect();
    printer.say(&format!("   airlock {}", shown.join(" ")));
    let cli = Cli::try_parse_from(std::iter::once(&"airlock").chain(arguments))?;
    match cli.command {
        Command::Keys(settings) => keys::run(&settings, logs, printer)?,
        Command::Mirror(settings) => Box::pin(mirror_images::run(&settings, logs, printer)).await?,
        Command::Pack(settings) => Box::pin(pack::run(&settings, logs, printer)).await?,
        Command::Verify(settings) => verify::run(&settings, logs, printer)?,
        Command::Import(settings) => import::run(&settings, logs, printer)?,
        other => anyhow::bail!("{other:?} is not part of the quickstart"),
    };
    Ok(())
}

/// Pulls the image's manifest from the site and compares its digest with the upstream's.
async fn check(address: &str, image: &upstream::Image) -> anyhow::Result<()> {
    let host: RegistryHost = address.parse()?;
    let rule =
        HostRule { host: host.clone(), endpoint: host.clone(), prefix: None, plain_http: true, ca_pem: None };
    let client = Client::new(ClientConfig { hosts: vec![rule], ..ClientConfig::default() })?;
    let repository = image.repository.below(&HOST.parse()?)?;
    let selector = Selector::Tag(image.tag.clone());
    let found = client.manifest(&host, &repository, &selector).await?;
    let digest = found.map(|manifest| manifest.digest());
    anyhow::ensure!(
        digest.as_ref() == Some(&image.digest),
        "the site serves {digest:?}, not {}",
        image.digest
    );
    Ok(())
}

fn mirror_file(upstream: &str) -> String {
    format!(
        "apiVersion: airlock.dev/v1alpha1
kind: MirrorConfig
metadata:
  name: quickstart
registries:
  - host: {HOST}
    mirror: {upstream}
    plainHTTP: true
sources:
  - images:
      - {HOST}/{}:{}
  - charts:
      - file: hello-0.1.0.tgz
  - files:
      - path: notice.txt
",
        upstream::REPOSITORY,
        env!("CARGO_PKG_VERSION")
    )
}

/// Commands to try next. Once the server has stopped, nothing can be pulled.
fn commands(address: &str, dir: &Path, image: &upstream::Image, ended: bool) -> String {
    let name = format!("{address}/{HOST}/{}:{}", image.repository, image.tag);
    let site = quoted(&dir.join("site").display().to_string());
    let digest = &image.digest;
    if ended {
        return format!(
            "the site served {name}
with the upstream's digest {digest}

serve it again:
  airlock serve --store {site} --listen {address}
list the store's content:
  airlock store list --store {site}
"
        );
    }
    format!(
        "the site serves {name}
with the upstream's digest {digest}

pull it:
  skopeo copy --src-tls-verify=false docker://{name} oci:airlock-image
  podman pull --tls-verify=false {name}
  ctr images pull --plain-http {name}
  helm pull --plain-http oci://{address}/charts/hello --version 0.1.0
the notice file:
  skopeo copy --src-tls-verify=false docker://{address}/files:notice.txt dir:notice
list the store's content:
  airlock store list --store {site}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_commands_fit_the_state_of_the_server_and_can_be_pasted() {
        let (repository, tag) = ("demo/hello".parse().unwrap(), "v1".parse().unwrap());
        let image = upstream::Image { repository, tag, digest: oci::Digest::sha256(b"") };
        let printed = |ended| commands("127.0.0.1:5000", Path::new("it's here"), &image, ended);
        assert!(printed(false).contains("pull it:") && !printed(true).contains("pull"));
        for text in [printed(false), printed(true)] {
            assert!(text.contains(r"--store 'it'\''s here/site'"), "{text}");
        }
    }
}
