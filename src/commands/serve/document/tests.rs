use super::super::access::Anonymous;
use super::*;

const HEAD: &str = "apiVersion: airlock.dev/v1alpha1\nkind: RegistryConfig\n";

fn plan(text: &str) -> Result<Plan, String> {
    parse(&format!("{HEAD}{text}"), Path::new("/etc/airlock/registry.yaml")).map_err(|error| error.message)
}

#[test]
fn a_whole_file_becomes_a_plan_with_paths_relative_to_it() {
    let plan = plan(
        "metadata: {name: site}\n\
         store: store\n\
         listeners:\n\
         \x20 - address: '[::1]:5000'\n\
         \x20   tls: {cert: tls.crt, key: /keys/tls.key}\n\
         \x20 - address: localhost:5001\n\
         \x20   tls: {selfSigned: true, names: [a.site]}\n\
         \x20 - address: :5002\n\
         \x20   tls: {selfSigned: true, names: [a.site, b.site], folder: ca}\n\
         \x20 - unix: run/registry.sock\n\
         readOnly: true\n\
         trust: trust.yaml\n\
         gates: {allowUnnamed: true, registryName: 'registry.site:5000'}\n\
         trustedProxies: [10.0.0.0/8]\n\
         access: {htpasswd: users, anonymous: pull}\n\
         limits: {connectionsPerClient: 7, referrersPerUser: 0, memoryMiB: 128, freeMiB: 1}\n",
    )
    .unwrap();
    plan.check().unwrap();
    let folder = Path::new("/etc/airlock");
    assert_eq!(plan.store, folder.join("store"));
    let at: Vec<_> = plan.listeners.iter().map(|listener| listener.at.to_string()).collect();
    assert_eq!(at, ["[::1]:5000", "127.0.0.1:5001", "0.0.0.0:5002", "unix:/etc/airlock/run/registry.sock"]);
    let files = Security::Files { cert: folder.join("tls.crt"), key: "/keys/tls.key".into() };
    assert_eq!(plan.listeners[0].security, files);
    assert_eq!(plan.authority.names, ["a.site", "b.site"]);
    assert_eq!(plan.authority_folder(), folder.join("ca"));
    assert_eq!(plan.access.htpasswd, Some(folder.join("users")));
    assert_eq!(plan.access.anonymous, Some(Anonymous::Pull));
    assert_eq!((plan.limits.per_client, plan.limits.naming), (7, None));
    assert_eq!((plan.limits.memory, plan.limits.free_bytes), (128 << 20, 1 << 20));
    assert_eq!(plan.limits.transfers, Limits::default().transfers);
    assert_eq!(plan.proxies[0].to_string(), "10.0.0.0/8");
}

#[test]
fn a_file_with_only_a_store_is_the_default() {
    let plan = plan("store: s\n").unwrap();
    assert_eq!(plan.listeners[0].at.to_string(), DEFAULT_LISTENER);
    assert_eq!(plan.limits, Limits::default());
    plan.check().unwrap();
}

#[test]
fn an_error_names_the_line_and_the_field() {
    let listeners = "store: s\nlisteners:\n";
    for (text, expected) in [
        ("store: s\nstores: t\n", "line 4: unknown field `stores`"),
        ("readOnly: false\n", "`store` is missing"),
        ("store: s\nreadOnly: yes\n", "line 4: expected `true` or `false`"),
        (
            &format!("{listeners}  - {{address: '127.0.0.1:1'}}\n  - {{}}\n"),
            "line 6: a listener has no `address`",
        ),
        (&format!("{listeners}  - {{address: '127.0.0.1:1', unix: a}}\n"), "line 5: a listener has several"),
        (&format!("{listeners}  - {{address: '127.0.0.1'}}\n"), "line 5: `address`: expected ADDRESS:PORT"),
        (
            &format!("{listeners}  - {{unix: a, tls: {{selfSigned: true}}}}\n"),
            "line 5: `tls` and `plainHTTP`",
        ),
        (&format!("{listeners}  - {{address: ':1', tls: {{cert: a}}}}\n"), "line 5: `tls` needs either"),
        (&format!("{listeners}  - {{address: ':1', tls: {{}}}}\n"), "line 5: `tls` needs either"),
        (
            &format!("{listeners}  - {{address: ':1', tls: {{cert: a, key: b, names: [c]}}}}\n"),
            "line 5: `names` and `folder`",
        ),
        (
            &format!("{listeners}  - {{address: ':1', plainHTTP: true, tls: {{selfSigned: true}}}}\n"),
            "line 5: `plainHTTP` contradicts",
        ),
        ("store: s\nlisteners: []\n", "`listeners` is empty"),
        ("store: s\ntrustedProxies:\n  - 10.0.0.0/8\n  - 10.0.0.0/33\n", "line 6:"),
        (
            "store: s\naccess: {anonymous: all}\n",
            "line 4: unknown value `all`, expected one of `none`, `pull`",
        ),
        ("store: s\naccess: {password: x}\n", "line 4: unknown field `password`"),
        ("store: s\nlimits:\n  transfers: 0\n", "`limits.transfers` is too small, expected at least 1"),
        ("store: s\nlimits: {manifestMiB: 64}\n", "line 4: `limits.manifestMiB` is more than half"),
        ("store: s\nlimits: {transfers: -1}\n", "line 4: "),
        ("store: s\nmetadata: {labels: {}}\n", "unknown field `labels`"),
    ] {
        let error = plan(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(error.starts_with("the registry configuration `/etc/airlock/registry.yaml`"), "{error}");
    }
    let other = "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nstore: s\n";
    let error = parse(other, Path::new("a.yaml")).unwrap_err().message;
    assert!(error.contains("line 2: `kind` is `MirrorConfig`, expected `RegistryConfig`"), "{error}");
}

#[test]
fn the_schema_names_every_field() {
    let schema = json_schema();
    assert_eq!(schema["title"], "RegistryConfig");
    for (of, fields) in [
        (
            "/properties",
            &["store", "listeners", "readOnly", "trust", "trustedProxies", "access", "limits"][..],
        ),
        ("/$defs/ListenerText/properties", &["address", "unix", "systemd", "tls", "plainHTTP"]),
        ("/$defs/LimitsText/properties", &["memoryMiB", "freeMiB", "connectionsPerClient", "drainSeconds"]),
    ] {
        let found = schema.pointer(of).unwrap();
        for field in fields {
            assert!(found.get(field).is_some(), "{of}: {field}: {schema:#}");
        }
    }
}
