//! The catalog of a caller that may not pull from every repository.

use oci::distribution::Catalog;

use super::{PULL, Site};
use crate::{Server, client};

/// Follows the links of a catalog; returns the names on each page, and the links.
async fn pages(server: &Server, site: &Site, first: &str) -> (Vec<Vec<String>>, Vec<String>) {
    let (client, (user, password)) = (client(), site.password("reader"));
    let (mut pages, mut links) = (Vec::new(), Vec::new());
    let mut path = first.to_owned();
    loop {
        let request = client.get(server.url(&path)).basic_auth(&user, Some(&password));
        let answer = request.send().await.expect("no answer");
        assert_eq!(answer.status(), 200, "{path}");
        let link = answer.headers().get("link").map(|link| link.to_str().expect("no text").to_owned());
        let list: Catalog = serde_json::from_slice(&answer.bytes().await.expect("no body")).expect("no list");
        pages.push(list.repositories);
        let Some(link) = link else { return (pages, links) };
        let (target, _) = link.trim_start_matches('<').split_once('>').expect("no target");
        target.clone_into(&mut path);
        links.push(link);
        assert!(links.len() < 1000, "an endless list");
    }
}

#[tokio::test]
async fn pages_show_only_what_the_caller_may_pull_and_hide_the_rest() {
    let site = Site::new(&[("a* m z/**", "user:reader", PULL)]);
    let auth = site.auth.clone();
    let server = Server::start(|config| config.auth = auth).await;
    for name in ["a1", "a2", "b1", "b2", "b3", "m", "nope", "o/x", "z", "z/1", "z/2/3"] {
        server.add(name, b"blob");
    }
    let all = ["a1", "a2", "m", "z/1", "z/2/3"];
    assert_eq!(pages(&server, &site, "/v2/_catalog").await.0.concat(), all);
    for size in 1..7 {
        let (pages, links) = pages(&server, &site, &format!("/v2/_catalog?n={size}")).await;
        assert_eq!(pages.concat(), all, "{size}");
        assert!(pages[..pages.len() - 1].iter().all(|page| page.len() == size), "{pages:?}");
        assert!(links.iter().all(|link| !["b1", "b2", "b3", "nope", "o/x"].iter().any(|x| link.contains(x))));
    }
    assert_eq!(pages(&server, &site, "/v2/_catalog?n=0").await.0, [Vec::<String>::new()]);
    assert_eq!(pages(&server, &site, "/v2/_catalog?last=b").await.0.concat(), all[2..]);
    assert_eq!(pages(&server, &site, "/v2/_catalog?last=a1&position=unknown").await.0.concat(), all[1..]);
}

#[tokio::test]
async fn a_search_through_many_hidden_repositories_goes_on_without_showing_them() {
    let site = Site::new(&[("**/seen", "user:reader", PULL)]);
    let auth = site.auth.clone();
    let server = Server::start(|config| config.auth = auth).await;
    let blob = server.add("first/seen", b"blob");
    let link = |name: String| store::Change::LinkBlob {
        repository: name.parse().expect("no name"),
        digest: blob.clone(),
    };
    let hidden = (0..40_000).map(|at| link(format!("hidden{at:05}")));
    server.store.commit(hidden.chain([link("zoo/seen".to_owned())]).collect()).expect("no commit");
    for first in ["/v2/_catalog", "/v2/_catalog?n=5"] {
        let (pages, links) = pages(&server, &site, first).await;
        assert_eq!(pages.concat(), ["first/seen", "zoo/seen"]);
        assert_eq!(pages.len(), 3, "each page is a limited search");
        assert!(links.iter().all(|link| !link.contains("hidden")), "{links:?}");
    }
}
