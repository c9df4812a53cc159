//! A registry that lists endless referrers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use bundle_signer::statement::COSIGN_SIGN;
use evidence::{EvidenceSource, Until, judged};
use oci::{Digest, RegistryHost, Selector};
use registry::client::{Client, ClientConfig, HostRule};
use serde_json::json;

use crate::{Rig, TYPE};

/// A registry that serves the content of the store and lists endless further referrers; returns its host and the
/// targets of the requests that it received.
fn endless(rig: &Rig) -> (RegistryHost, Arc<Mutex<Vec<String>>>) {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let targets = Arc::clone(&requests);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (store, repository) = (rig.store.clone(), rig.repository.clone());
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let (store, repository, targets) = (store.clone(), repository.clone(), Arc::clone(&targets));
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let target = lines.next().unwrap().unwrap();
                let target = target.split(' ').nth(1).unwrap();
                targets.lock().unwrap().push(target.to_owned());
                let (path, query) = target.split_once('?').unwrap_or((target, ""));
                for line in lines {
                    if line.unwrap().is_empty() {
                        break;
                    }
                }
                let last = path.rsplit('/').next().unwrap();
                let (mut status, mut kind, mut link, mut body) = (200, TYPE, String::new(), Vec::new());
                if path.contains("/referrers/") {
                    kind = "application/vnd.oci.image.index.v1+json";
                    let digest = Digest::sha256(&number.to_be_bytes());
                    let mut entries = vec![json!({ "mediaType": TYPE, "digest": digest, "size": 9 })];
                    if !query.contains("last=") {
                        let known = store.referrers(&repository, &last.parse().unwrap(), None).unwrap();
                        entries.extend(known.iter().map(|entry| json!(entry)));
                    }
                    body = json!({ "schemaVersion": 2, "manifests": entries }).to_string().into_bytes();
                    link = format!("link: <{path}?last={number}>; rel=\"next\"\r\n");
                } else if let Some(row) = last
                    .parse()
                    .ok()
                    .and_then(|selector: Selector| store.resolve(&repository, &selector).unwrap())
                {
                    body = store.manifest(&repository, &row.digest).unwrap().unwrap().bytes().to_vec();
                } else if let Some(mut blob) =
                    last.parse().ok().and_then(|digest: Digest| store.blob(&digest).unwrap())
                {
                    std::io::Read::read_to_end(&mut blob.file, &mut body).unwrap();
                } else {
                    status = 404;
                }
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{link}content-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(&[head.into_bytes(), body].concat());
            });
        }
    });
    (address.parse().unwrap(), requests)
}

fn source_at(host: &RegistryHost, rig: &Rig) -> EvidenceSource {
    let rule =
        HostRule { endpoint: host.clone(), host: host.clone(), prefix: None, plain_http: true, ca_pem: None };
    let client = Client::new(ClientConfig { hosts: vec![rule], ..ClientConfig::default() }).unwrap();
    EvidenceSource::Registry(client, host.clone(), rig.repository.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_a_signature_on_the_first_page_needs_no_other_page() {
    let rig = Rig::new();
    rig.sign("bundle", None).await;
    let (host, requests) = endless(&rig);
    let (source, questions) = (source_at(&host, &rig), vec![rig.question(COSIGN_SIGN)]);
    let verdicts = judged(&source, &rig.image.digest, &rig.trust, questions, Until::Settled).await;
    assert!(verdicts.unwrap()[0].decision.satisfied);
    let requests = requests.lock().unwrap();
    assert_eq!(requests.iter().filter(|target| target.contains("/referrers/")).count(), 1, "{requests:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_an_endless_list_of_referrers_is_truncated_and_reported() {
    let rig = Rig::new();
    rig.sign("legacy", None).await;
    let (host, _) = endless(&rig);
    let verdict = rig.verdict(&source_at(&host, &rig), COSIGN_SIGN).await;
    assert!(verdict.decision.satisfied);
    assert!(
        verdict.skipped.iter().any(|skipped| skipped.reason.contains("longer than the search limit")),
        "{:?}",
        verdict.skipped
    );
}
