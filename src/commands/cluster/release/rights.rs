//! `airlock package rights`: what the controller may do is what packages come to as charts, and a person grants it.

use k8s_openapi::api::rbac::v1::PolicyRule;
use package_api::{Package, PackageSpec};
use package_controller::rbac;
use serde_json::{Value, json};

use super::{Cluster, called};
use crate::cli::PackageRights;
use crate::commands::cluster::reach::{Change, MANAGER, applied, connect};
use crate::failure::{Status, Usage};
use crate::logged::Work;
use crate::printer::Printer;

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
    let (mut objects, mut sums) = (Vec::new(), Vec::new());
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
            Err(error) => {
                let words = package_controller::causes(error.as_ref()).join(": ");
                printer.complain(&format!("warning: {words}; its rights are not among these"));
            }
        }
    }
    let derived = rbac::derive(&objects);
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

fn granted(cluster: &str, rules: &[PolicyRule], subject: &Value) -> Vec<Value> {
    let name = format!("airlock-packages-{cluster}");
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
