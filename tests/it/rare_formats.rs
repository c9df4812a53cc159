//! Images, charts and archives that are valid but rare: each one crosses the air gap completely.

use std::net::TcpListener;
use std::path::Path;

use oci::{Algorithm, Digest};
use serde_json::{Value, json};

use crate::cli::airlock;
use crate::upstream::{Content, INDEX, MANIFEST, Upstream, digest_of, error, image, mirror, put, tag, whole};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Adds an image with these layers and additional members.
fn image_of(content: &mut Content, repository: &str, layers: &[Value], more: &Value) -> Value {
    let config = put(content, repository, CONFIG, b"{}");
    let mut manifest =
        json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
    for (name, value) in more.as_object().into_iter().flatten() {
        manifest[name] = value.clone();
    }
    put(content, repository, MANIFEST, manifest.to_string().as_bytes())
}

fn index_of(content: &mut Content, repository: &str, manifests: &[Value]) -> Value {
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    put(content, repository, INDEX, index.to_string().as_bytes())
}

fn on(platform: &Value, mut descriptor: Value) -> Value {
    descriptor["platform"] = platform.clone();
    descriptor
}

type Shape = fn(&mut Content, &str) -> Value;

const SHAPES: [(&str, Shape); 21] = [
    ("no-layers", |content, name| image_of(content, name, &[], &json!({}))),
    ("layers-null", |content, name| image_of(content, name, &[], &json!({ "layers": null }))),
    ("empty-layer", |content, name| {
        let layer = put(content, name, LAYER, b"");
        image_of(content, name, &[layer], &json!({}))
    }),
    ("layer-twice", |content, name| {
        let layer = put(content, name, LAYER, b"the same");
        image_of(content, name, &[layer.clone(), layer.clone(), layer], &json!({}))
    }),
    ("two-compressions", |content, name| {
        let layer = vec![b'x'; 5000];
        let gzip = {
            use std::io::Write as _;
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&layer).unwrap();
            encoder.finish().unwrap()
        };
        let zstd = zstd::encode_all(layer.as_slice(), 3).unwrap();
        let layers = [("", layer), ("+gzip", gzip), ("+zstd", zstd)]
            .map(|(end, bytes)| put(content, name, &format!("{LAYER}{end}"), &bytes));
        image_of(content, name, &layers, &json!({}))
    }),
    ("digest-twice", |content, name| {
        let one = image(content, name, b"for both");
        let platforms = ["amd64", "arm64"].map(|arch| json!({ "os": "linux", "architecture": arch }));
        let children = platforms.map(|platform| on(&platform, one.clone()));
        index_of(content, name, &[children[0].clone(), children[1].clone(), children[0].clone()])
    }),
    ("nested", |content, name| {
        let one = image(content, name, b"deep");
        let inner = index_of(content, name, &[one]);
        let middle = index_of(content, name, &[inner]);
        index_of(content, name, &[middle])
    }),
    ("empty-index", |content, name| index_of(content, name, &[])),
    ("unknown-only", |content, name| {
        let one = image(content, name, b"unknown");
        index_of(content, name, &[on(&json!({ "os": "unknown", "architecture": "unknown" }), one)])
    }),
    ("attestations-only", |content, name| {
        let mut one = image(content, name, b"attested");
        one["annotations"] = json!({ "vnd.docker.reference.digest": digest_of(b"elsewhere") });
        index_of(content, name, &[on(&json!({ "os": "unknown", "architecture": "unknown" }), one)])
    }),
    ("variants", |content, name| {
        let platforms = [("arm", "v6"), ("arm", "v7"), ("arm", "v8"), ("arm64", "v8"), ("amd64", "v3")];
        let children = platforms.map(|(arch, variant)| {
            let one = image(content, name, format!("{arch} {variant}").as_bytes());
            on(&json!({ "os": "linux", "architecture": arch, "variant": variant }), one)
        });
        index_of(content, name, &children)
    }),
    ("windows", |content, name| {
        let children = ["10.0.17763.1", "10.0.20348.2"].map(|version| {
            let one = image(content, name, version.as_bytes());
            let platform = json!({
                "os": "windows", "architecture": "amd64", "os.version": version, "os.features": ["win32k"],
            });
            on(&platform, one)
        });
        index_of(content, name, &children)
    }),
    ("platform-of-nothing", |content, name| {
        let children =
            [json!({}), json!({ "architecture": "", "os": "" }), json!({ "architecture": "amd64" })];
        let children = children.map(|platform| {
            let one = image(content, name, platform.to_string().as_bytes());
            on(&platform, one)
        });
        index_of(content, name, &children)
    }),
    ("inline-data", |content, name| {
        let mut config = put(content, name, EMPTY, b"{}");
        config["data"] = json!("e30=");
        image_of(
            content,
            name,
            std::slice::from_ref(&config),
            &json!({ "config": config, "artifactType": "x/y" }),
        )
    }),
    ("inline-data-alone", |content, name| {
        let layer = json!({ "mediaType": "text/plain", "digest": digest_of(b"inline"), "size": 6, "data": "aW5saW5l" });
        image_of(content, name, &[layer], &json!({ "artifactType": "x/y" }))
    }),
    ("odd-types", |content, name| {
        let config = put(content, name, "application/vnd.example.config+toml", b"a = 1");
        let layer = put(content, name, "application/octet-stream", b"bytes");
        image_of(content, name, &[layer], &json!({ "config": config }))
    }),
    ("subject-nowhere", |content, name| {
        let subject = json!({ "mediaType": MANIFEST, "digest": digest_of(b"nowhere"), "size": 7 });
        image_of(content, name, &[], &json!({ "subject": subject }))
    }),
    ("docker-list", |content, name| {
        let one = image(content, name, b"docker's");
        let kind = "application/vnd.docker.distribution.manifest.list.v2+json";
        let list = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": [one] });
        put(content, name, kind, list.to_string().as_bytes())
    }),
    ("cache", |content, name| {
        let layer = put(content, name, LAYER, b"cached");
        let config = put(content, name, "application/vnd.buildkit.cacheconfig.v0", b"{}");
        index_of(content, name, &[layer, config])
    }),
    ("sha512", |content, name| {
        let bytes = b"by the long hash";
        let digest = Digest::of(Algorithm::Sha512, bytes);
        content.insert(format!("/v2/{name}/blobs/{digest}"), (LAYER.to_owned(), bytes.to_vec()));
        let layer = json!({ "mediaType": LAYER, "digest": digest, "size": bytes.len() });
        image_of(content, name, &[layer], &json!({}))
    }),
    ("annotated-null", |content, name| {
        image_of(content, name, &[], &json!({ "annotations": null, "subject": null, "artifactType": null }))
    }),
];

/// Mirrors, packs, verifies and imports; returns the output of `store list` on both sides.
fn cross(folder: &Path, upstream: &Upstream, sources: &str) -> [String; 2] {
    let output = mirror(folder, upstream, sources, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let works = |arguments: &[&str]| {
        let output = airlock(folder, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    };
    works(&["keys", "generate", "k"]);
    works(&["keys", "trust", "k.pub", "--log", "s/log/key.pub"]);
    works(&["pack", "--store", "s", "--key", "k.key", "--to", "drive"]);
    works(&["verify", "drive", "--trust", "trust.yaml"]);
    works(&["import", "drive", "--trust", "trust.yaml", "--store", "far"]);
    ["s", "far"].map(|store| {
        works(&["store", "check", "--store", store]);
        works(&["store", "list", "--store", store])
    })
}

#[test]
fn d2_d4_d5_d8_images_of_rare_shapes_cross_completely() {
    let mut content = Content::new();
    let long = "t".repeat(128);
    let mut images = Vec::new();
    for (name, shape) in SHAPES {
        let found = shape(&mut content, name);
        tag(&mut content, name, &long, &found);
        images.push(format!("'r.example/{name}:{long}'"));
    }
    let deep = format!("{}/{}", "d".repeat(100), "e".repeat(255 - 101 - "r.example/".len()));
    let found = image(&mut content, &deep, b"a long name");
    tag(&mut content, &deep, "v1", &found);
    images.push(format!("'r.example/{deep}:v1'"));
    let upstream = Upstream::start(content, Box::new(|_, _, _| None));
    let folder = tempfile::tempdir().unwrap();
    let [near, far] = cross(folder.path(), &upstream, &format!("[{{images: [{}]}}]", images.join(", ")));
    assert_eq!(near, far);
    for (name, _) in SHAPES {
        assert!(far.contains(&format!("r.example/{name}:{long}")), "{name}: {far}");
    }
}

#[test]
fn d5_a_platform_selects_its_variants_and_all_builds_of_an_operating_system() {
    let mut content = Content::new();
    for (name, shape) in SHAPES.iter().filter(|(name, _)| ["variants", "windows"].contains(name)) {
        let found = shape(&mut content, name);
        tag(&mut content, name, "v1", &found);
    }
    let upstream = Upstream::start(content, Box::new(|_, _, _| None));
    for (image, platforms, layers) in [
        ("variants", "linux/arm", &["arm v6", "arm v7", "arm v8"][..]),
        ("variants", "linux/arm/v7", &["arm v7"]),
        ("variants", "linux/arm64", &["arm64 v8"]),
        ("variants", "linux/amd64", &["amd64 v3"]),
        ("windows", "windows/amd64", &["10.0.17763.1", "10.0.20348.2"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let sources = format!("[{{images: ['r.example/{image}:v1']}}]\nplatforms: [{platforms}]");
        let output = mirror(folder.path(), &upstream, &sources, &[]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let blobs = folder.path().join("s/blobs/sha256");
        let exists = |layer: &str| {
            let hex = digest_of(layer.as_bytes())[7..].to_owned();
            blobs.join(&hex[..2]).join(hex).exists()
        };
        let all = ["arm v6", "arm v7", "arm v8", "arm64 v8", "amd64 v3", "10.0.17763.1", "10.0.20348.2"];
        let found: Vec<_> = all.into_iter().filter(|layer| exists(layer)).collect();
        assert_eq!(found, layers, "{platforms}");
    }
}

#[test]
fn d13_a_registry_at_an_ipv6_address_is_mirrored() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        println!("skipped: no IPv6 loopback address");
        return;
    };
    let mut content = Content::new();
    let found = image(&mut content, "a/b", b"six");
    tag(&mut content, "a/b", "v1", &found);
    let upstream = Upstream::on(listener, content, Box::new(|_, _| None));
    let folder = tempfile::tempdir().unwrap();
    let host = upstream.address.clone();
    let text = format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: a}}\n\
         registries: [{{host: '{host}', plainHTTP: true}}]\nsources: [{{images: ['{host}/a/b:v1']}}]\n"
    );
    std::fs::write(folder.path().join("airlock.yaml"), text).unwrap();
    let output = airlock(folder.path(), &["mirror", "--store", "s"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = airlock(folder.path(), &["store", "list", "--store", "s"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("0-0-0-0-0-0-0-1-"), "{listed}");
}

#[test]
fn d23_a_chart_is_named_by_its_version_as_helm_names_it() {
    let mut content = Content::new();
    let found = image(&mut content, "charts/hello", b"chart");
    tag(&mut content, "charts/hello", "1.0.0_up1", &found);
    let upstream = Upstream::start(content, Box::new(|_, _, _| None));
    let folder = tempfile::tempdir().unwrap();
    let sources = "[{charts: [{reference: 'r.example/charts/hello:1.0.0+up1', images: false}]}]";
    let output = mirror(folder.path(), &upstream, sources, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    for (sources, fix) in [
        (
            "[{charts: [{reference: 'oci://r.example/charts/hello:1.0.0'}]}]",
            "write `r.example/charts/hello:1.0.0`",
        ),
        ("[{images: ['r.example/charts/hello:1.0.0+up1']}]", "write `r.example/charts/hello:1.0.0_up1`"),
    ] {
        let output = mirror(folder.path(), &upstream, sources, &[]);
        assert_eq!(output.status.code(), Some(2));
        let error = error(&output);
        assert!(
            whole(&error).contains(fix) || error["hint"].as_str().unwrap_or_default().contains(fix),
            "{error}"
        );
    }
}
