//! Package bundles made from a store, and generated packages.

use std::fs;
use std::path::Path;

use crate::cli::{airlock, fails};
use crate::signing::{mirror_file, site, works};

const SCHEMA: &str = r#"{"type":"object","properties":{"replicas":{"type":"integer"}}}"#;
const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: 'disk.example/team/app:{{ .Values.tag }}'}]}\n";

/// Writes a packaged chart.
fn pack(path: &Path, version: &str) {
    let file = fs::File::create(path).unwrap();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
    for (name, text) in [
        ("web/Chart.yaml", format!("apiVersion: v2\nname: web\nversion: {version}\n")),
        ("web/values.yaml", "tag: v1\n".to_owned()),
        ("web/values.schema.json", SCHEMA.to_owned()),
        ("web/templates/pod.yaml", POD.to_owned()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
}

/// A store with an image and two versions of a chart that uses it.
fn with_charts() -> tempfile::TempDir {
    let folder = site();
    let path = folder.path();
    pack(&path.join("web-1.tgz"), "1.0.0");
    pack(&path.join("web-2.tgz"), "2.0.0");
    let sources = "  - ociLayout: {path: layout, reference: 'disk.example/team/app:v1'}\n  - charts: [{file: web-1.tgz, images: false}, {file: web-2.tgz, images: false}]\n";
    fs::write(path.join("airlock.yaml"), mirror_file("", sources)).unwrap();
    works(path, &["mirror", "--store", "store", "--lock", "charts.lock"]);
    folder
}

fn config(name: &str, packages: &str) -> String {
    format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: BundleConfig\nmetadata: {{name: {name}}}\nminControllerVersion: v0.1.0\npackages:\n{packages}"
    )
}

const WEB: &str = "  - {name: web, charts: ['charts/web:2.0.0', 'charts/web:1.0.0'], dependencies: [base], workloadOnly: true}\n  - {name: base, charts: ['charts/web:1.0.0']}\n";

#[test]
fn a_bundle_made_from_the_store_is_signed_completely_and_found_by_its_tags() {
    let folder = with_charts();
    let path = folder.path();
    fs::write(path.join("packages.yaml"), config("v1-35-7", WEB)).unwrap();
    let create = ["bundle", "create", "-f", "packages.yaml", "--store", "store", "--key", "release.key"];
    let first = works(path, &create);
    let bundle = gostd::yaml::parse(&first, &gostd::Limits::default()).unwrap();
    let bundle: package_api::PackageBundle = serde_json::from_value(bundle).unwrap();
    assert_eq!((bundle.name(), bundle.namespace()), ("v1-35-7", "eksa-packages"));
    let web = bundle.spec.package("web").unwrap();
    assert_eq!((web.source.repository.as_str(), web.workload_only), ("charts/web", Some(true)));
    let names: Vec<_> = web.source.versions.iter().map(|version| version.name.as_str()).collect();
    assert_eq!(names, ["2.0.0", "1.0.0"]);
    let version = web.version(None).unwrap();
    let image = &version.images.as_ref().unwrap()[0];
    assert_eq!(image.repository, "disk.example/team/app");
    let listed = works(path, &["store", "list", "--store", "store", "--output", "json"]);
    assert!(listed.contains(&image.digest) && listed.contains(&version.digest), "{listed}");
    assert_eq!(version.dependencies.as_deref(), Some(&["base".to_owned()][..]));
    // The schema is encoded as AWS encodes it, with the same bytes each time.
    let packed = version.schema.as_deref().unwrap();
    let packed = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, packed).unwrap();
    let text = std::io::read_to_string(flate2::read::GzDecoder::new(packed.as_slice())).unwrap();
    assert_eq!(text, SCHEMA);
    let unsigned = |text: &str| {
        let lines = text.lines().filter(|line| !line.contains("eksa.aws.com/signature"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(unsigned(&works(path, &create)), unsigned(&first));
    fs::write(path.join("bundle.yaml"), &first).unwrap();
    works(path, &["verify-manifest", "bundle.yaml", "--trust", "release.yaml"]);
    fs::write(path.join("bundle.yaml"), first.replace("2.0.0", "2.0.1")).unwrap();
    fails_verification(path);

    works(path, &[&create[..], &["--publish"]].concat());
    fs::write(path.join("packages.yaml"), config("v1-35-6", WEB)).unwrap();
    works(path, &[&create[..], &["--publish"]].concat());
    let listed = works(path, &["bundle", "list", "--store", "store", "--output", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let tags = |name: &str| {
        let found = listed.as_array().unwrap().iter().find(|bundle| bundle["name"] == name).unwrap();
        assert_eq!(found["packages"], serde_json::json!(["web", "base"]));
        found["tags"].clone()
    };
    // An older bundle does not become the latest.
    assert_eq!(tags("v1-35-7"), serde_json::json!(["v1-35-7", "v1-35-latest"]));
    assert_eq!(tags("v1-35-6"), serde_json::json!(["v1-35-6"]));
    works(path, &["store", "check", "--store", "store"]);
}

/// AWS's format does not sign the minimum version of the controller. airlock's bundles repeat it in a signed label.
#[test]
fn o33_the_minimum_version_of_the_controller_is_signed() {
    let folder = with_charts();
    let path = folder.path();
    fs::write(path.join("packages.yaml"), config("v1-35-7", WEB)).unwrap();
    let create = ["bundle", "create", "-f", "packages.yaml", "--store", "store", "--key", "release.key"];
    let bundle = works(path, &create);
    fs::write(path.join("bundle.yaml"), &bundle).unwrap();
    let verify = ["verify-manifest", "bundle.yaml", "--trust", "release.yaml"];
    let output = airlock(path, &verify);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("minControllerVersion"), "{said}");
    let changed = bundle.replace("minControllerVersion: v0.1.0", "minControllerVersion: v0.0.1");
    assert_ne!(changed, bundle);
    fs::write(path.join("bundle.yaml"), changed).unwrap();
    fails(path, &verify, 3, "`.spec.minControllerVersion` is `v0.0.1`, but its signed label says `v0.1.0`");
    // Removing the label invalidates the signature.
    let label = bundle.lines().filter(|line| !line.contains("min-controller-version"));
    fs::write(path.join("bundle.yaml"), label.collect::<Vec<_>>().join("\n")).unwrap();
    fails(path, &verify, 3, "");
}

/// A drive carries the content of its lock, and the site finds the bundle by its tags.
#[test]
fn a_drive_carries_a_bundle_with_its_charts_and_images() {
    let folder = with_charts();
    let path = folder.path();
    let create = ["bundle", "create", "-f", "packages.yaml", "--store", "store", "--key", "release.key"];
    for (name, more) in [("v1-35-7", "charts.lock"), ("v1-35-6", "charts.lock"), ("v1-35-7", "charts.lock")] {
        fs::write(path.join("packages.yaml"), config(name, WEB)).unwrap();
        works(path, &[&create[..], &["--publish", "--lock", more]].concat());
    }
    works(
        path,
        &["pack", "--store", "store", "--lock", "charts.lock", "--to", "drive", "--key", "release.key"],
    );
    works(path, &["import", "drive", "--trust", "release.yaml", "--store", "away"]);
    let here = works(path, &["bundle", "list", "--store", "store"]);
    let away = works(path, &["bundle", "list", "--store", "away"]);
    assert!(away.contains("v1-35-7, v1-35-latest") && away.contains("v1-35-6"), "{away}");
    assert_eq!(away, here);
    works(path, &["store", "check", "--store", "away"]);
    fails(path, &[&create[..], &["--lock", "charts.lock"]].concat(), 2, "--publish");
}

#[test]
fn o8_mirror_keeps_a_bundle_in_the_lock_and_a_version_is_published_once() {
    let folder = with_charts();
    let path = folder.path();
    fs::write(path.join("packages.yaml"), config("v1-35-7", WEB)).unwrap();
    let create = ["bundle", "create", "-f", "packages.yaml", "--store", "store", "--key", "release.key"];
    let publish = [&create[..], &["--publish", "--lock", "charts.lock"]].concat();
    works(path, &publish);
    let locked = || {
        let lock = mirror::lock::Lock::read(&path.join("charts.lock")).unwrap();
        lock.made_here().map(|item| item.digest.to_string()).collect::<Vec<_>>()
    };
    let first = locked();
    assert_eq!(first.len(), 2);
    for more in [&[][..], &["--update"]] {
        works(path, &[&["mirror", "--store", "store", "--lock", "charts.lock"][..], more].concat());
        assert_eq!(locked(), first, "{more:?}");
    }
    // Publishing the same content with the same key changes nothing; different content is refused.
    works(path, &publish);
    assert_eq!(locked(), first);
    let other = "  - {name: web, charts: ['charts/web:1.0.0']}\n";
    fs::write(path.join("packages.yaml"), config("v1-35-7", other)).unwrap();
    fails(path, &publish, 2, "--replace");
    assert_eq!(locked(), first);
    works(path, &[&publish[..], &["--replace"]].concat());
    assert_ne!(locked(), first);
    works(path, &["store", "check", "--store", "store"]);
}

/// The controller would refuse an object with such an image, so the author of the bundle should know.
#[test]
fn a_field_that_should_contain_an_image_reference_but_does_not_is_reported() {
    let folder = with_charts();
    let path = folder.path();
    let packages = "  - {name: web, charts: ['charts/web:1.0.0'], set: ['tag=<web>']}\n";
    fs::write(path.join("packages.yaml"), config("v1-35-7", packages)).unwrap();
    let create = ["bundle", "create", "-f", "packages.yaml", "--store", "store", "--key", "release.key"];
    let output = airlock(path, &create);
    let said = String::from_utf8_lossy(&output.stderr);
    let words = "Pod/web spec.containers[0].image: `disk.example/team/app:<web>` is not an image reference";
    assert!(output.status.success() && said.contains(words), "{said}");
}

fn fails_verification(path: &Path) {
    let output = airlock(path, &["verify-manifest", "bundle.yaml", "--trust", "release.yaml"]);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_bundle_with_missing_content_is_not_created() {
    let folder = with_charts();
    let path = folder.path();
    for (packages, code, words) in [
        ("  - {name: web, charts: ['charts/web:9.0.0']}\n", 4, "is not in the store"),
        ("  - {name: web, charts: ['charts/web:1.0.0'], set: [tag=v2]}\n", 4, "disk.example/team/app:v2"),
        ("  - {name: web, charts: ['charts/web']}\n", 2, "repository and tag"),
        ("  - {name: web, charts: []}\n", 2, "needs a name and a chart"),
        ("  - {name: web, charts: ['charts/web:1.0.0'], dependencies: [none]}\n", 2, "depends on `none`"),
        (
            "  - {name: web, charts: ['charts/web:1.0.0']}\n  - {name: WEB, charts: ['charts/web:1.0.0']}\n",
            2,
            "is listed twice",
        ),
        ("  - {name: web, chart: x}\n", 2, "is not a valid BundleConfig"),
    ] {
        fs::write(path.join("packages.yaml"), config("v1-35-7", packages)).unwrap();
        let create = ["bundle", "create", "-f", "packages.yaml", "--store", "store", "--key", "release.key"];
        fails(path, &create, code, words);
    }
    fs::write(path.join("packages.yaml"), config("latest", WEB)).unwrap();
    let create = ["bundle", "create", "-f", "packages.yaml", "--store", "store", "--key", "release.key"];
    fails(path, &create, 2, "name is invalid");
}

#[test]
fn a_package_is_generated_as_eks_anywhere_generates_it() {
    let folder = with_charts();
    let path = folder.path();
    let text = works(path, &["generate", "package", "web", "--cluster", "billy"]);
    let expected = "apiVersion: packages.eks.amazonaws.com/v1alpha1\nkind: Package\nmetadata:\n  name: generated-web\n  namespace: eksa-packages-billy\nspec:\n  packageName: web\n";
    assert_eq!(text, expected);
    fs::write(path.join("packages.yaml"), config("v1-35-7", WEB)).unwrap();
    let create = ["bundle", "create", "-f", "packages.yaml", "--store", "store", "--key", "release.key"];
    works(path, &[&create[..], &["--to", "bundle.yaml"]].concat());
    let generate = ["--cluster", "billy", "--bundle", "bundle.yaml"];
    assert_eq!(works(path, &[&["generate", "package", "WEB"][..], &generate].concat()), expected);
    fails(
        path,
        &[&["generate", "package", "other"][..], &generate].concat(),
        4,
        "airlock list packages --bundle",
    );
    fails(path, &["generate", "package", "web", "--cluster", "../x"], 2, "not the name of a cluster");
}

#[test]
fn o1_a_bundle_that_was_published_after_the_lock_was_written_reaches_the_site() {
    let folder = with_charts();
    let path = folder.path();
    fs::write(path.join("packages.yaml"), config("v1-35-7", WEB)).unwrap();
    let create = ["bundle", "create", "-f", "packages.yaml", "--store", "store", "--key", "release.key"];
    works(path, &[&create[..], &["--publish"]].concat());
    let pack = ["pack", "--store", "store", "--key", "release.key"];
    let packed = airlock(path, &[&pack[..], &["--to", "drive", "--lock", "charts.lock"]].concat());
    let said = String::from_utf8_lossy(&packed.stderr).into_owned();
    assert!(packed.status.success() && said.contains("package bundle v1-35-7 is included"), "{said}");
    works(path, &["import", "drive", "--trust", "release.yaml", "--store", "far"]);
    let listed = works(path, &["bundle", "list", "--store", "far"]);
    assert!(listed.contains("v1-35-7") && listed.contains("v1-35-latest"), "{listed}");
    // A bundle whose charts are not on the drive would name content that the site does not have.
    let packed = airlock(path, &[&pack[..], &["--to", "other"]].concat());
    let said = String::from_utf8_lossy(&packed.stderr).into_owned();
    assert!(packed.status.success() && said.contains("not on the drive: package bundle v1-35-7"), "{said}");
}
