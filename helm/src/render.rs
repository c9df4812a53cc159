//! Renders a chart with options into manifests, hooks and notes.
//!
//! Source: `pkg/action/install.go` and `action.go` (`renderResources`), `pkg/engine/engine.go`. The steps and
//! their order are Helm's: dependencies, values, schema, Kubernetes version, templates, notes, manifests.

mod fresh;
mod hooks;
mod manifests;
mod notes;
mod options;
mod order;
mod scope;

use std::collections::BTreeMap;

use crate::chart::{self, Chart, Meter};
use crate::error::Error;
use crate::funcs::crypto::keys_in;
use crate::function::{Random, Scope};
pub use crate::template::Mode;
use gostd::value::Map;

use crate::template::Set;
use crate::template::stack::with_stack;
pub use hooks::{DeletePolicy, Hook, HookEvent, OutputLogPolicy};
pub use manifests::Manifest;
pub use options::{Keys, Options, Release, SchemaCheck};
pub use order::Order;

/// The result of a render.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rendered {
    /// The manifests of the release, in install order.
    pub manifests: Vec<Manifest>,
    /// The hooks, in install order; [`Rendered::hooks_for`] returns them in the order in which they run.
    pub hooks: Vec<Hook>,
    /// The notes for the user.
    pub notes: Option<String>,
    /// The files of the `crds/` directories, to be applied before everything else.
    pub crds: Vec<Crd>,
    includes_crds: bool,
}

/// A file of a `crds/` directory, which is not a template.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Crd {
    /// The path of the file, including its parent charts.
    pub source: String,
    /// Its text.
    pub content: String,
}

/// Renders `chart`. The same chart and options return the same bytes.
///
/// # Errors
/// The values violate a schema, the chart is incompatible with the cluster, a template fails, its output is not valid
/// YAML, or the render exceeds a limit.
pub fn render(chart: &Chart, options: &Options<'_>) -> Result<Rendered, Error> {
    options.release.check()?;
    with_stack(&options.limits, || run(chart, options)).map_err(Error::Thread)?
}

/// The files that `helm lint` checks: the output of every template that is not a partial, by path. This does not check
/// the chart's constraint on the version of Kubernetes.
///
/// # Errors
/// As [`render`].
pub(crate) fn files(chart: &Chart, options: &Options<'_>) -> Result<BTreeMap<String, String>, Error> {
    let work = || {
        let (root, values) = resolved(chart, options)?;
        execute(&root, &values, options)
    };
    with_stack(&options.limits, work).map_err(Error::Thread)?
}

/// The chart with its enabled sub-charts, and the values of all of them.
fn resolved<'c>(chart: &'c Chart, options: &Options<'_>) -> Result<(chart::Node<'c>, Map), Error> {
    let limits = &options.limits;
    let user = options.values.to_map();
    let meter = Meter::new(limits);
    let root = chart::resolve(chart, &user, &meter, limits)?;
    let values = chart::join(&root, &user, &meter)?;
    if options.schema == SchemaCheck::Enforce {
        chart::validate(&root, &values, limits)?;
    }
    Ok((root, values))
}

fn run(chart: &Chart, options: &Options<'_>) -> Result<Rendered, Error> {
    let limits = &options.limits;
    let (root, values) = resolved(chart, options)?;
    let wanted = &root.metadata.kube_version;
    let kube = &options.capabilities.kube_version;
    if !wanted.is_empty() && !chart::is_compatible(wanted, kube.constrained()) {
        let version = kube.version().to_owned();
        return Err(Error::Incompatible { constraint: wanted.clone(), version });
    }
    let mut files = execute(&root, &values, options)?;
    let notes = notes::take(&mut files, &root.metadata.name, options.sub_notes);
    let (manifests, hooks) = manifests::sort(&files, limits)?;
    Ok(Rendered {
        manifests,
        hooks,
        notes,
        crds: manifests::crds(&root),
        includes_crds: options.include_crds,
    })
}

/// The output of every template that is not a partial, by path.
fn execute(
    root: &chart::Node<'_>,
    values: &Map,
    options: &Options<'_>,
) -> Result<BTreeMap<String, String>, Error> {
    let templates = scope::templates(root, values, options)?;
    let random = Random::new(options.seed);
    let mut functions = Scope::new(&options.limits, options.now, &random, options.lookup);
    functions.seeded_at = options.seeded_at;
    functions.draws.expect(templates.values().map(|template| template.text.as_str()));
    functions.keys = options.keys;
    if options.keys == Keys::Ordered {
        let keys = templates.values().map(|template| keys_in(&template.text)).sum();
        functions.primes.expect(keys);
    }
    let sources = templates.iter().map(|(path, template)| (path.as_str(), template.text.as_str()));
    let set = Set::new(sources, options.mode, &options.limits)?;
    let mut files = BTreeMap::new();
    for path in set.order() {
        if let Some(template) = templates.get(path) {
            functions.draws.begin(path);
            files.insert(path.to_owned(), set.render(path, &template.dot(path), &functions)?);
        }
    }
    if let Some(seed) = options.fresh {
        fresh::refresh(&mut files, &functions.draws.take(), seed, &options.limits);
    }
    Ok(files)
}

impl Rendered {
    /// The manifest of the release, byte for byte as Helm stores it.
    #[must_use]
    pub fn manifest_text(&self) -> String {
        let crds = self.crds.iter().filter(|_| self.includes_crds).map(|crd| (&crd.source, &crd.content));
        let manifests = self.manifests.iter().map(|manifest| (&manifest.source, &manifest.content));
        crds.chain(manifests)
            .map(|(source, content)| format!("---\n# Source: {source}\n{content}\n"))
            .collect()
    }

    /// The hooks of an event in the order in which they run: by weight, then by name.
    #[must_use]
    pub fn hooks_for(&self, event: HookEvent) -> Vec<&Hook> {
        let mut hooks: Vec<&Hook> = self.hooks.iter().filter(|hook| hook.events.contains(&event)).collect();
        hooks.sort_by(|a, b| a.weight.cmp(&b.weight).then_with(|| a.name.cmp(&b.name)));
        hooks
    }
}
