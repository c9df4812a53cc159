//! `airlock package rights`: what the controller may do is what packages come to as charts, and a person grants it.

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::Api;
use package_api::{Package, PackageSpec};
use package_controller::engine::Error as Engine;
use package_controller::rbac;
use serde_json::{Value, json};

use super::{Cluster, called};
use crate::cli::PackageRights;
use crate::commands::cluster::reach::{Answer, Change, MANAGER, applied, connect, told};
use crate::failure::{Status, Usage};
use crate::logged::Work;
use crate::printer::Printer;

/// What the names of roles for packages begin with; the cluster's name follows.
pub(in crate::commands) const ROLES: &str = "airlock-packages-";

pub(super) async fn rights(
    settings: &PackageRights,
    work: Option<&mut Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let client = connect(&settings.cluster.reach).await?;
    let cluster = Cluster::of(client, &settings.cluster.cluster, &settings.charts).await?;
    if cluster.target.is_workload && work.is_some() {
        let message = format!("nobody here may grant rights in cluster `{}`", settings.cluster.cluster);
        let hint = "without --apply they are printed for whoever the controller is there; apply them in that cluster";
        return Err(Usage { message, hint }.into());
    }
    let (mut objects, mut sums, mut is_whole) = (Vec::new(), Vec::new(), true);
    for package in wanted(&cluster) {
        match cluster.prepare(&package).await {
            Ok(prepared) => {
                objects.extend(prepared.objects()?);
                // What belongs to a release is not made for a package that nobody asked for.
                if cluster.packages.iter().any(|asked| asked.name() == package.name()) {
                    sums.extend(prepared.sums()?);
                }
            }
            // A chart that needs values before it renders brings its rights once there is a package with them.
            Err(error) if is_the_package_s(&error) => {
                is_whole = false;
                let words = package_controller::causes(error.as_ref()).join(": ");
                printer.complain(&format!("warning: {words}; its rights are not among these"));
            }
            // What could not be asked says nothing of what a package needs.
            Err(error) => return Err(error),
        }
    }
    let mut derived = rbac::derive(&objects);
    if !is_whole {
        let before = granted_before(&cluster, &settings.cluster.cluster).await?;
        if keep(&mut derived.rules, before) {
            printer.complain(
                "note: what is granted already stays among these, because not every package was read",
            );
        }
    }
    for excess in &derived.excess {
        printer.complain(&format!("warning: {} is not covered: {}", excess.object, excess.reason));
    }
    let subject = cluster.target.subject().await?;
    let mut manifests = granted(&settings.cluster.cluster, &derived.rules, &subject);
    for role in sums {
        printer.complain(&format!(
            "note: {} is among these, because the controller may not make it",
            called(&role)
        ));
        manifests.push(role);
    }
    if let Some(work) = work {
        for manifest in &manifests {
            applied(&cluster.client, manifest, MANAGER, Change::Made).await?;
        }
        work.evidence("rules", &derived.rules.len());
        work.done()?;
    }
    printer.result(&manifests, |manifests| {
        manifests.iter().map(|manifest| format!("---\n{}", helm::yaml::write(manifest))).collect()
    })?;
    Ok(Status::Done)
}

/// Every package that there is, and every one that the bundle offers and there is none of yet.
fn wanted(cluster: &Cluster) -> Vec<Package> {
    let mut all = cluster.packages.clone();
    for offered in &cluster.bundle.spec.packages {
        if !all.iter().any(|package| package.spec.package_name.eq_ignore_ascii_case(&offered.name)) {
            let spec = PackageSpec { package_name: offered.name.clone(), ..PackageSpec::default() };
            all.push(Package::new(&offered.name.to_lowercase(), spec));
        }
    }
    all
}

/// Whether a failure is the package's or its chart's own, and not that of a registry or an API server.
fn is_the_package_s(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let is_chart = matches!(cause.downcast_ref(), Some(Engine::Chart(_) | Engine::NoChart { .. }));
        is_chart || cause.downcast_ref().is_some_and(|answer: &Answer| answer.code() == 4)
    })
}

/// The rules that the role has now.
async fn granted_before(cluster: &Cluster, name: &str) -> anyhow::Result<Vec<PolicyRule>> {
    let api: Api<ClusterRole> = Api::all(cluster.target.client.clone());
    let found =
        api.get_opt(&role(name)).await.map_err(|error| told("reading what is granted now", &error))?;
    Ok(found.and_then(|role| role.rules).unwrap_or_default())
}

/// Adds the rules of before that are not among the new ones; whether there were any.
fn keep(rules: &mut Vec<PolicyRule>, before: Vec<PolicyRule>) -> bool {
    let count = rules.len();
    for rule in before {
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    rules.len() > count
}

fn role(cluster: &str) -> String {
    format!("{ROLES}{cluster}")
}

fn granted(cluster: &str, rules: &[PolicyRule], subject: &Value) -> Vec<Value> {
    let name = role(cluster);
    let labels = json!({ "app.kubernetes.io/name": "airlock", "app.kubernetes.io/part-of": "airlock" });
    let metadata = json!({ "name": name, "labels": labels });
    vec![
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": metadata,
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
            "subjects": [subject],
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_asked_is_no_package_s_fault() {
        let silent = registry::client::Error::Protocol { host: "a".to_owned(), what: "it is gone" };
        let pull = Engine::Pull { chart: "a/b".to_owned(), source: silent };
        let chart = || Engine::Chart(helm::Error::ReleaseName { name: "A".to_owned() });
        assert!(!is_the_package_s(&anyhow::Error::new(pull).context("the package `a` cannot be rendered")));
        assert!(!is_the_package_s(&Engine::Silent { action: "list".to_owned(), seconds: 9 }.into()));
        assert!(is_the_package_s(&anyhow::Error::new(chart()).context("the package `a` cannot be rendered")));
        assert!(is_the_package_s(&Answer::missing("the bundle has no package `a`".to_owned(), None)));
    }

    #[test]
    fn a_role_keeps_what_could_not_be_read_again() {
        let rule = |verb: &str| PolicyRule { verbs: vec![verb.to_owned()], ..PolicyRule::default() };
        let mut rules = vec![rule("get")];
        assert!(!keep(&mut rules, vec![rule("get")]) && rules.len() == 1);
        assert!(keep(&mut rules, vec![rule("list"), rule("get")]));
        assert_eq!(rules, [rule("get"), rule("list")]);
    }
}
