//! What a push reveals about content of other repositories.

use http::Method;
use oci::Digest;

use super::{PULL, Site, WRITE};
use crate::{Server, client};

/// An index with one child.
fn index(media_type: &str, digest: &Digest, size: usize) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}]}}"#
    )
}

/// An image with one layer that is stored elsewhere.
fn image(config: &Digest, digest: &Digest, size: usize) -> String {
    let layer = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":6}},"layers":[{{"mediaType":"{layer}","digest":"{digest}","size":{size},"urls":["https://a.example/layer"]}}]}}"#
    )
}

#[tokio::test]
async fn a_pushed_manifest_neither_reveals_nor_gives_access_to_content_of_other_repositories() {
    let site = Site::new(&[("team-a/**", "user:writer", WRITE), ("secret/**", "user:reader", PULL)]);
    let auth = site.auth.clone();
    let server = Server::start(|config| config.auth = auth).await;
    let secret = server.add("secret/app", b"secret");
    let config = server.add("team-a/app", b"config");
    let manifest = server.add_image("secret/app", "v1", b"secret");
    let client = client();
    let (user, password) = site.password("writer");
    let send = async |method: Method, path: &str, body: String| {
        let request = client.request(method, server.url(&format!("/v2/team-a/app/{path}"))).body(body);
        let answer = request.basic_auth(&user, Some(&password)).send().await.expect("no answer");
        (answer.status().as_u16(), answer.text().await.expect("no body"))
    };
    let absent = Digest::sha256(b"absent");
    let octets = "application/octet-stream";
    let child = oci::media_type::OCI_MANIFEST;
    for digest in [&secret, &absent] {
        // Neither with the right size, nor with a wrong one.
        for size in [6, 7] {
            for body in
                [index(octets, digest, size), index(child, digest, size), image(&config, digest, size)]
            {
                let (status, said) = send(Method::PUT, "manifests/v1", body).await;
                assert_eq!(status, 201, "{digest} {size}: {said}");
            }
        }
        assert_eq!(send(Method::GET, &format!("blobs/{digest}"), String::new()).await.0, 404, "{digest}");
        assert_eq!(send(Method::HEAD, &format!("blobs/{digest}"), String::new()).await.0, 404, "{digest}");
    }
    let (status, said) = send(Method::PUT, "manifests/v2", index(child, &manifest, 1)).await;
    assert_eq!(status, 201, "{said}");
    assert_eq!(send(Method::GET, &format!("manifests/{manifest}"), String::new()).await.0, 404);
    // Sizes of the repository's own content are still checked.
    let (status, said) = send(Method::PUT, "manifests/v1", index(octets, &config, 7)).await;
    assert!(status == 400 && said.contains("SIZE_INVALID"), "{status} {said}");
}
