//! The small upstream: the running binary as an image of two layers, a chart, and a file.

use std::fs::File;
use std::path::Path;

use anyhow::Context as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use oci::{Algorithm, Digest, Hasher, Manifest, RepositoryName, Tag, media_type};
use private::{Existing, Readers, Temporary};
use serde_json::json;
use store::{BlobWriter, Change, Store};

pub(crate) const REPOSITORY: &str = "demo/airlock";

/// The created image.
pub(crate) struct Image {
    pub(crate) repository: RepositoryName,
    pub(crate) tag: Tag,
    pub(crate) digest: Digest,
}

struct Layer {
    digest: Digest,
    size: u64,
    diff_id: Digest,
}

/// Creates everything in `dir`, with the image in the store `dir/upstream`.
pub(crate) fn make(dir: &Path) -> anyhow::Result<Image> {
    chart(&dir.join("hello-0.1.0.tgz"))?;
    let notice = b"This file crossed the gap.\n";
    private::publish(&dir.join("notice.txt"), notice, Existing::Replace, Readers::All)?;
    let store = Store::open(&dir.join("upstream"))?;
    let program = std::env::current_exe()?;
    let layers = [
        layer(&store, |archive| {
            let mut file =
                File::open(&program).with_context(|| format!("cannot read `{}`", program.display()))?;
            let mut header = header(file.metadata()?.len(), 0o755);
            Ok(archive.append_data(&mut header, "airlock", &mut file)?)
        })?,
        layer(&store, |archive| {
            let text = concat!("airlock ", env!("CARGO_PKG_VERSION"), "\n").as_bytes();
            Ok(archive.append_data(&mut header(text.len() as u64, 0o644), "etc/airlock-release", text)?)
        })?,
    ];
    let config = json!({
        "os": "linux", "architecture": architecture(),
        "config": { "Entrypoint": ["/airlock"], "Cmd": ["version"], "User": "65532:65532" },
        "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|layer| &layer.diff_id).collect::<Vec<_>>() },
    });
    let config = serde_json::to_vec(&config)?;
    let (config_digest, config_size) = store.put_bytes(&config)?;
    let descriptor = |layer: &Layer| json!({ "mediaType": media_type::OCI_LAYER_GZIP, "digest": layer.digest, "size": layer.size });
    let body = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": { "mediaType": media_type::OCI_CONFIG, "digest": config_digest, "size": config_size },
        "layers": layers.iter().map(descriptor).collect::<Vec<_>>(),
    });
    let manifest = Manifest::parse(serde_json::to_vec(&body)?.into(), None)?;
    let (repository, tag): (RepositoryName, Tag) = (REPOSITORY.parse()?, env!("CARGO_PKG_VERSION").parse()?);
    let digest = manifest.digest();
    store.commit(vec![
        Change::PutManifest { repository: repository.clone(), digest: digest.clone(), manifest },
        Change::SetTag { repository: repository.clone(), tag: tag.clone(), digest: digest.clone() },
    ])?;
    Ok(Image { repository, tag, digest })
}

/// Go's name for this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Writes a gzip layer into the store, hashing it before and after compression.
fn layer(
    store: &Store,
    fill: impl FnOnce(&mut tar::Builder<Plain>) -> anyhow::Result<()>,
) -> anyhow::Result<Layer> {
    let compressed = Compressed(store.writer(Algorithm::Sha256)?);
    let plain = Plain {
        hasher: Hasher::new(Algorithm::Sha256),
        out: GzEncoder::new(compressed, Compression::fast()),
    };
    let mut archive = tar::Builder::new(plain);
    fill(&mut archive)?;
    let Plain { hasher, out } = archive.into_inner()?;
    let (digest, size) = out.finish()?.0.publish(None)?;
    Ok(Layer { digest, size, diff_id: hasher.finish() })
}

struct Compressed(BlobWriter);

impl std::io::Write for Compressed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Plain {
    hasher: Hasher,
    out: GzEncoder<Compressed>,
}

impl std::io::Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.out.write_all(bytes)?;
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// A packaged Helm chart with one template.
fn chart(path: &Path) -> anyhow::Result<()> {
    let metadata = "apiVersion: v2\nname: hello\nversion: 0.1.0\ndescription: A chart that crossed the gap\n";
    let template =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hello\ndata:\n  from: {{ .Chart.Name }}\n";
    let failed = || format!("cannot write `{}`", path.display());
    let new = Temporary::beside(path, Existing::Replace, Readers::All).with_context(failed)?;
    let mut archive = tar::Builder::new(GzEncoder::new(new.file(), Compression::default()));
    for (name, text) in [
        ("hello/Chart.yaml", metadata),
        ("hello/values.yaml", "{}\n"),
        ("hello/templates/hello.yaml", template),
    ] {
        archive.append_data(&mut header(text.len() as u64, 0o644), name, text.as_bytes())?;
    }
    archive.into_inner()?.finish()?;
    new.publish().with_context(failed)
}

fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(mode);
    header
}
