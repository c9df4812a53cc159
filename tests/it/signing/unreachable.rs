//! A registry that does not answer. Each command repeats its requests for a while.

use super::site;
use crate::cli::fails;

#[test]
fn a_registry_that_cannot_be_reached_is_reported_with_the_hint_for_air_gapped_sites() {
    let folder = site();
    let path = folder.path();
    let silent = ["verify-image", "127.0.0.1:9/a:b", "--plain-http", "--trust", "release.yaml"];
    fails(path, &silent, 6, "the request to the registry failed");
    // The hint for air-gapped sites.
    fails(path, &silent, 6, "if it is across the air gap, give the store that it serves: --store DIR");
    let sign = ["sign", "127.0.0.1:9/a:b", "--plain-http", "--key", "release.key"];
    fails(path, &sign, 6, "give the store that it serves: --store DIR");
}
