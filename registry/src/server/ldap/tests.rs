use serde_json::{Value, json};

use super::config::filter;
use super::*;

fn refusal(change: &Value, password: Option<&str>) -> Option<String> {
    let mut config = json!({ "url": "ldaps://ldap.site", "userSearch": { "base": "dc=site" } });
    for (name, value) in change.as_object().expect("no object") {
        config[name] = value.clone();
    }
    let config = serde_json::from_value(config).expect("no configuration");
    LdapDirectory::new(config, password, None).err().map(|error| error.to_string())
}

#[test]
fn passwords_are_sent_without_tls_only_to_this_machine_or_if_that_is_requested() {
    let check = |change: Value| refusal(&change, None);
    for good in [
        json!({}),
        json!({ "url": "ldap://ldap.site:3389", "startTLS": true }),
        json!({ "url": "ldap://127.0.0.1" }),
        json!({ "url": "ldap://localhost:389/" }),
        json!({ "url": "ldap://ldap.site", "insecure": true }),
    ] {
        assert_eq!(check(good.clone()), None, "{good}");
    }
    for (bad, words) in [
        (json!({ "url": "ldap://ldap.site" }), "without TLS"),
        (json!({ "url": "ldap://127.0.0.1.evil.site" }), "without TLS"),
        (json!({ "url": "ldap://127.0.0.1", "ca": "ca.crt" }), "`ca` has no effect"),
        (json!({ "startTLS": true }), "contradicts"),
        (json!({ "url": "https://ldap.site" }), "`url`"),
        (json!({ "url": "ldaps://a:b@ldap.site" }), "`url`"),
        (json!({ "url": "ldaps://ldap.site/dc=site" }), "`url`"),
        (json!({ "url": "ldaps://[::1]" }), "`url`"),
        (json!({ "url": "ldapi:///run/slapd" }), "`url`"),
    ] {
        let said = check(bad.clone()).unwrap_or_default();
        assert!(said.contains(words), "{bad}: {said}");
    }
}

#[test]
fn an_account_without_a_password_and_filters_that_ignore_the_user_are_refused() {
    let account = json!({ "bindDN": "cn=search" });
    assert_eq!(refusal(&account, Some("secret\n")), None);
    for password in [None, Some(""), Some("\n")] {
        assert!(refusal(&account, password).is_some(), "{password:?}");
    }
    assert!(refusal(&json!({}), Some("secret")).is_some());
    for user in ["(uid=*)", "(uid={user}", "{user}", ""] {
        assert!(refusal(&json!({ "userSearch": { "base": "", "filter": user } }), None).is_some(), "{user}");
    }
    for group in ["(member=*)", "(member={dn}", ""] {
        let change = json!({ "groupSearch": { "base": "", "filter": group } });
        assert!(refusal(&change, None).is_some(), "{group}");
    }
}

#[test]
fn names_have_no_meaning_in_filters() {
    let by = |user, dn| filter("(&(a={user})(b={dn}))", user, dn);
    assert_eq!(by("ann", "uid=ann,dc=site"), "(&(a=ann)(b=uid=ann,dc=site))");
    assert_eq!(by("*", ")(c=*"), r"(&(a=\2a)(b=\29\28c=\2a))");
    assert_eq!(by(r"a\b", "\0"), r"(&(a=a\5cb)(b=\00))");
    assert_eq!(by("{dn}", "{user}"), "(&(a={dn})(b={user}))");
}

#[test]
fn an_empty_password_is_never_sent() {
    let check = |password: &[u8]| usable(password.to_vec());
    assert_eq!(check(b"secret").as_deref(), Some("secret"));
    for bad in [&b""[..], b"\0", b"a\0b", b"\xff", &[b'a'; LONGEST + 1]] {
        assert_eq!(check(bad), None, "{bad:?}");
    }
}
