use proptest::prelude::*;

use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parse(path: &str) -> Result<Route, u16> {
    Route::parse(&Method::PUT, path).map_err(|refusal| refusal.status().as_u16())
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

#[test]
fn every_endpoint_is_found() {
    let digest: Digest = format!("sha256:{HEX}").parse().unwrap();
    let id: UploadId = "0123456789abcdef0123456789abcdef".parse().unwrap();
    for (path, route) in [
        ("/livez".to_owned(), Route::Live),
        ("/readyz".into(), Route::Ready),
        ("/v2".into(), Route::Base),
        ("/v2/".into(), Route::Base),
        ("/v2/_catalog".into(), Route::Catalog),
        (format!("/v2/a/b/blobs/{digest}"), Route::Blob(name("a/b"), digest.clone())),
        (format!("/v2/a/blobs/sha256%3A{HEX}"), Route::Blob(name("a"), digest.clone())),
        (format!("/v2/a/blobs/sha256%3a{HEX}"), Route::Blob(name("a"), digest.clone())),
        ("/v2/a/manifests/v1".into(), Route::Manifest(name("a"), "v1".parse().unwrap())),
        (format!("/v2/a/manifests/{digest}"), Route::Manifest(name("a"), Selector::Digest(digest.clone()))),
        ("/v2/a/blobs/uploads/".into(), Route::Uploads(name("a"))),
        ("/v2/a/blobs/uploads".into(), Route::Uploads(name("a"))),
        (format!("/v2/a/blobs/uploads/{id}"), Route::Upload(name("a"), id)),
        ("/v2/a/tags/list".into(), Route::Tags(name("a"))),
        (format!("/v2/a/referrers/{digest}"), Route::Referrers(name("a"), digest.clone())),
        // Names may contain the words of the paths.
        ("/v2/a/blobs/tags/list".into(), Route::Tags(name("a/blobs"))),
        ("/v2/a/manifests/list".into(), Route::Manifest(name("a"), "list".parse().unwrap())),
        (
            "/v2/blobs/uploads/manifests/uploads".into(),
            Route::Manifest(name("blobs/uploads"), "uploads".parse().unwrap()),
        ),
        (format!("/v2/tags/list/blobs/{digest}"), Route::Blob(name("tags/list"), digest)),
    ] {
        assert_eq!(parse(&path), Ok(route), "{path}");
    }
}

#[test]
fn hostile_paths_are_refused() {
    for (path, status) in [
        ("", 404),
        ("/", 404),
        ("/v1/", 404),
        ("/v2/a", 404),
        ("/v2/a/", 404),
        ("/v2//", 404),
        ("/v2/a/tags/list/", 404),
        ("/v2/tags/list", 404),
        ("/v2/%", 404),
        ("/v2/%f", 404),
        ("/v2/%zz/tags/list", 404),
        ("/v2/%ff/tags/list", 404),
        ("/v2/A/tags/list", 400),
        ("/v2/../tags/list", 400),
        ("/v2/a/../../etc/tags/list", 400),
        ("/v2/a/%2e%2e/b/tags/list", 400),
        ("/v2/a%00/tags/list", 400),
        ("/v2//tags/list", 400),
        ("/v2/a/blobs/sha256:12", 400),
        ("/v2/a/blobs/nothing", 400),
        ("/v2/a/manifests/sha256:totallywrong", 400),
        ("/v2/a/manifests/.x", 400),
        ("/v2/a/referrers/latest", 400),
        ("/v2/a/blobs/uploads/../../x", 404),
        ("/v2/a/blobs/uploads/1", 404),
    ] {
        assert_eq!(parse(path).unwrap_err(), status, "{path}");
    }
}

#[test]
fn unsupported_methods_are_refused_with_the_supported_ones() {
    let refusal = Action::of(&Method::PATCH, Route::Base).unwrap_err();
    let response = refusal.into_response(&Method::PATCH);
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "GET, HEAD");
    let uploads = || Route::Uploads(name("a"));
    assert!(Action::of(&Method::GET, uploads()).is_err());
    assert_eq!(Action::of(&Method::POST, uploads()).unwrap().permission(), Permission::Push);
    assert_eq!(Action::of(&Method::HEAD, Route::Tags(name("a"))).unwrap().permission(), Permission::Pull);
    assert_eq!(Action::of(&Method::GET, Route::Live).unwrap().permission(), Permission::None);
}

#[test]
fn queries_keep_plus_and_order() {
    let query = Query::parse(Some("tag=a&tag=b%2Bc&artifactType=x/y+json&n&&=z")).unwrap();
    assert_eq!(query.values("tag").collect::<Vec<_>>(), ["a", "b+c"]);
    assert_eq!(query.value("artifactType"), Some("x/y+json"));
    assert_eq!(query.value("n"), Some(""));
    assert_eq!(query.value("absent"), None);
    assert!(Query::parse(Some("a=%f")).is_err());
    assert_eq!(Query::parse(None).unwrap(), Query::default());
}

proptest! {
    #[test]
    fn any_path_is_read_without_panic(path: String, query: String) {
        let _ = Route::parse(&Method::GET, &path);
        let _ = Route::parse(&Method::PUT, &format!("/v2/{path}"));
        let _ = Query::parse(Some(&query));
    }

    #[test]
    fn words_in_any_order_give_a_route_or_a_refusal(
        words in proptest::collection::vec("blobs|uploads|manifests|tags|list|referrers|a|%2F|\\.\\.|", 0..7)
    ) {
        let path = format!("/v2/{}", words.join("/"));
        if let Err(status) = parse(&path) {
            prop_assert!(status == 400 || status == 404);
        }
    }

    #[test]
    fn a_name_and_a_tag_round_trip(name in "[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,3}", tag in "[A-Za-z0-9_][A-Za-z0-9._-]{0,20}") {
        let route = parse(&format!("/v2/{name}/manifests/{tag}"));
        prop_assert_eq!(route, Ok(Route::Manifest(name.parse().unwrap(), tag.parse().unwrap())));
    }

    #[test]
    fn percent_encoding_round_trips(text: String) {
        prop_assert_eq!(percent_decode(&percent_encode(&text)), Some(text));
    }
}

#[test]
fn r10_an_invalid_tag_is_not_found_for_reads_and_refused_for_writes() {
    let status = |method: Method, path: &str| {
        Route::parse(&method, path).map(drop).map_err(|refusal| refusal.status().as_u16())
    };
    for text in [".INVALID_MANIFEST_NAME", "-a", "a%20b", "a+b", &"x".repeat(129)] {
        let path = format!("/v2/a/manifests/{text}");
        assert_eq!(status(Method::GET, &path), Err(404), "{text}");
        assert_eq!(status(Method::HEAD, &path), Err(404), "{text}");
        assert_eq!(status(Method::PUT, &path), Err(400), "{text}");
        assert_eq!(status(Method::DELETE, &path), Err(400), "{text}");
    }
    assert_eq!(status(Method::GET, "/v2/a/manifests/sha256:abc"), Err(400));
}
