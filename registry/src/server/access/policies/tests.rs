use super::*;
use crate::server::access::{NewRobot, RobotScope};

fn config(groups: &[(&str, &[&str])], policies: &[(&str, &str, &[Allow])]) -> AccessConfig {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    let policy = |(repositories, to, allow): &(&str, &str, &[Allow])| PolicyConfig {
        repositories: words(repositories),
        to: words(to),
        allow: allow.to_vec(),
    };
    let group = |(name, users): &(&str, &[&str])| {
        ((*name).to_owned(), users.iter().map(|user| (*user).to_owned()).collect())
    };
    AccessConfig {
        groups: groups.iter().map(group).collect(),
        policies: policies.iter().map(policy).collect(),
        ..AccessConfig::default()
    }
}

fn users(names: &[&str]) -> Htpasswd {
    let hash = bcrypt::hash("secret", 4).unwrap();
    Htpasswd::parse(&names.iter().map(|name| format!("{name}:{hash}\n")).collect::<String>()).unwrap()
}

fn robot(name: &str, scope: Option<(&str, Allow)>) -> Robots {
    let scope = scope.map(|(pattern, allow)| RobotScope {
        repositories: vec![pattern.parse().unwrap()],
        allow: vec![allow],
    });
    let new = NewRobot { name: name.to_owned(), scope: scope.into_iter().collect(), ..NewRobot::default() };
    Robots::default().create(new, OffsetDateTime::UNIX_EPOCH, &[1; Robots::RANDOM]).unwrap().0
}

fn user(name: &str) -> Caller {
    Caller::User(name.to_owned())
}

#[test]
fn what_no_policy_allows_is_denied() {
    let policies = [
        ("team-a/**", "group:team-a", &[Allow::Pull, Allow::Push][..]),
        ("library/*", "anonymous", &[Allow::Pull]),
        ("**", "user:root", &[Allow::Admin]),
        ("inbox", "authenticated", &[Allow::Push]),
    ];
    let config = config(&[("team-a", &["ann", "bob"])], &policies);
    let policies = Policies::new(config, users(&["ann", "bob", "eve", "root"]), Robots::default()).unwrap();
    let may = |caller: &Caller, name: &str| -> String {
        let name = name.parse().unwrap();
        Allow::ALL
            .iter()
            .filter(|action| policies.allow(caller, &name, **action))
            .map(|a| a.as_str())
            .collect()
    };
    for (caller, name, expected) in [
        (user("ann"), "team-a/app", "pullpush"),
        (user("bob"), "team-a/x/y", "pullpush"),
        (user("eve"), "team-a/app", ""),
        (Caller::Anonymous, "team-a/app", ""),
        (Caller::Anonymous, "library/nginx", "pull"),
        (user("eve"), "library/nginx", "pull"),
        (Caller::Anonymous, "library/a/b", ""),
        (user("eve"), "inbox", "push"),
        (Caller::Anonymous, "inbox", ""),
        (Caller::Robot("ci".to_owned()), "library/nginx", "pull"),
        // A robot account that does not exist.
        (Caller::Robot("ann".to_owned()), "team-a/app", ""),
        (Caller::Robot("root".to_owned()), "x", ""),
        (user("root"), "anything/at/all", "pullpushdeleteadmin"),
        (user("other"), "anything", ""),
    ] {
        assert_eq!(may(&caller, name), expected, "{caller:?} {name}");
    }
    assert!(policies.allow_all_pulls(&user("root")) && !policies.allow_all_pulls(&user("ann")));
    assert!(policies.allow_anonymous() && policies.unknown().is_empty());
}

#[test]
fn the_scope_of_a_robot_narrows_its_policies_but_not_what_everyone_may_do() {
    let policies = [("**", "robot:ci", &[Allow::Admin][..]), ("library/*", "anonymous", &[Allow::Pull])];
    let ci = Caller::Robot("ci".to_owned());
    let narrow = robot("ci", Some(("team-a/**", Allow::Push)));
    let narrow = Policies::new(config(&[], &policies), users(&[]), narrow).unwrap();
    let may = |policies: &Policies, name: &str, action| policies.allow(&ci, &name.parse().unwrap(), action);
    assert!(may(&narrow, "team-a/app", Allow::Push) && !may(&narrow, "team-a/app", Allow::Pull));
    assert!(!may(&narrow, "team-b/app", Allow::Push));
    assert!(may(&narrow, "library/nginx", Allow::Pull) && !may(&narrow, "library/nginx", Allow::Push));
    assert!(!narrow.allow_all_pulls(&ci));
    let wide = Policies::new(config(&[], &policies), users(&[]), robot("ci", None)).unwrap();
    assert!(may(&wide, "team-b/app", Allow::Delete) && wide.allow_all_pulls(&ci));
    let none = Policies::new(config(&[], &[]), users(&[]), robot("ci", Some(("**", Allow::Admin)))).unwrap();
    assert!(!may(&none, "team-a/app", Allow::Pull), "a scope alone allows nothing");
}

#[test]
fn errors_name_the_policy_and_the_field() {
    let good = ("a", "anonymous", &[Allow::Pull][..]);
    let new =
        |policy| Policies::new(config(&[("g", &["ann"])], &[good, policy]), users(&[]), Robots::default());
    let allow = &[Allow::Pull][..];
    for (policy, expected) in [
        (("", "anonymous", allow), "policy 2: `repositories` is empty"),
        (("a", "", allow), "policy 2: `to` is empty"),
        (("a", "anonymous", &[][..]), "policy 2: `allow` is empty"),
        (("a A", "anonymous", allow), "policy 2, `repositories`: `A` is not a pattern of repository names"),
        (("a", "everyone", allow), "policy 2, `to`: `everyone` names no one"),
        (("a", "user:", allow), "policy 2, `to`: `user:` names no one"),
        (("a", "Anonymous", allow), "policy 2, `to`: `Anonymous` names no one"),
        (("a", "group:h", allow), "policy 2, `to`: the group `h` is not defined in `groups`"),
    ] {
        assert_eq!(new(policy).unwrap_err().to_string(), expected);
    }
    assert!(new(("a", "group:g user:x robot:y", allow)).is_ok());
    let error = Policies::new(config(&[], &[]), users(&["robot$ci"]), Robots::default()).unwrap_err();
    assert!(matches!(error, Error::UserIsRobot(user) if user == "robot$ci"));
}

#[test]
fn users_and_robots_that_do_not_exist_are_found() {
    let policies = [("a", "user:ann user:no group:g robot:ci robot:gone", &[Allow::Pull][..])];
    let config = config(&[("g", &["ann", "ghost"])], &policies);
    let policies = Policies::new(config, users(&["ann"]), robot("ci", None)).unwrap();
    assert_eq!(policies.unknown().into_iter().collect::<Vec<_>>(), ["robot:gone", "user:ghost", "user:no"]);
}

#[test]
fn a_credential_changes_with_the_password_and_ends_with_the_account() {
    let credential = |htpasswd, caller: &Caller| {
        let policies = Policies::new(config(&[], &[]), htpasswd, robot("ci", None)).unwrap();
        policies.credential(caller, OffsetDateTime::UNIX_EPOCH)
    };
    let (ann, ci) = (user("ann"), Caller::Robot("ci".to_owned()));
    let file = users(&["ann"]);
    assert_eq!(credential(file.clone(), &ann), credential(file.clone(), &ann));
    assert_ne!(credential(file.clone(), &ann), credential(users(&["ann"]), &ann));
    assert_eq!(credential(users(&["bob"]), &ann), None);
    assert!(credential(file.clone(), &ci).is_some() && credential(file, &Caller::Anonymous).is_none());
}

#[test]
fn the_configuration_is_read_strictly() {
    let read = |text: &str| serde_json::from_str::<AccessConfig>(text);
    let full = r#"{"htpasswd": "users", "robots": "robots.json", "groups": {"team-a": ["alice"]},
        "policies": [{"repositories": ["team-a/**"], "to": ["group:team-a"], "allow": ["pull", "push"]}]}"#;
    let config = read(full).unwrap();
    assert_eq!(config.policies[0].allow, [Allow::Pull, Allow::Push]);
    assert_eq!(read(&serde_json::to_string(&config).unwrap()).unwrap(), config);
    assert!(read(r#"{"policies": []}"#).is_ok());
    for bad in [
        "{}",
        &full.replace("groups", "group"),
        &full.replace("\"to\"", "\"for\""),
        &full.replace("push", "write"),
        &full.replace("\"to\": [\"group:team-a\"],", ""),
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}
