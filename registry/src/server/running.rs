//! A server with its listeners, and the part of its configuration that can change while it runs.

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::Request;

use super::auth::Auth;
use super::gate::Gate;
use super::guard::address::Proxies;
use super::guard::{Guard, Record};
use super::listener::Listener;
use super::metrics::{CountedGate, measure};
use super::missing::write_missing;
use super::serve::{expire_uploads, report_refusals};
use super::{App, Limits, ServerConfig, access_log};
use crate::Error;

/// A server. Clones share it.
#[derive(Clone)]
pub struct Server {
    app: Arc<RwLock<Arc<App>>>,
    proxies: Proxies,
}

/// A new configuration for a running server. Requests that have begun keep the one before.
#[derive(Clone)]
pub struct Change {
    /// The authentication of users; `None` keeps the current one, with its tokens and the passwords that it has checked.
    pub auth: Option<Auth>,
    /// Whether to refuse all pushes and deletions.
    pub read_only: bool,
    /// Decides about manifests; without a gate, all are allowed.
    pub gate: Option<Arc<dyn Gate>>,
    /// The limits. [`Limits::with_fixed_of`] names those that do not change.
    pub limits: Limits,
}

impl Limits {
    /// These limits, but with those values of `running` that a running server cannot change: the limits of connections,
    /// transfers and memory, and how long an idle upload is kept.
    #[must_use]
    pub fn with_fixed_of(self, running: &Self) -> Self {
        let Self { manifest_bytes, manifest, tags_per_push, uploads, naming, free_bytes, .. } = self;
        Self { manifest_bytes, manifest, tags_per_push, uploads, naming, free_bytes, ..*running }
    }
}

impl Server {
    /// A server that does not listen yet.
    #[must_use]
    pub fn new(config: ServerConfig) -> Self {
        let proxies = config.proxies.clone();
        Self { app: Arc::new(RwLock::new(Arc::new(App::new(config)))), proxies }
    }

    /// Applies a new configuration to all requests that begin from now on.
    pub fn change(&self, change: Change) {
        let mut current = self.app.write().unwrap_or_else(PoisonError::into_inner);
        let mut app = App::clone(&current);
        if let Some(auth) = change.auth {
            app.authenticator = Arc::new(app.authenticator.succeeded_by(auth));
        }
        app.limits = change.limits.with_fixed_of(&app.limits);
        app.store.limit_uploads(app.limits.uploads);
        let metrics = app.metrics.clone();
        let gate = change.gate.map(|gate| Arc::new(CountedGate { gate, metrics }) as Arc<dyn Gate>);
        (app.read_only, app.gate) = (change.read_only, gate);
        *current = Arc::new(app);
    }

    /// Serves on all listeners until `shutdown` completes; then accepts no more requests and lets current ones finish within
    /// [`Limits::drain`]. The limits for clients apply to all listeners together.
    ///
    /// # Errors
    /// When a listener fails permanently.
    pub async fn serve(
        &self,
        listeners: Vec<Listener>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let app = self.app();
        let upkeep = tokio::spawn(expire_uploads(app.store.clone(), app.limits.session));
        let reports = tokio::spawn(report_refusals(Arc::clone(&app.refusals)));
        let writes = tokio::spawn(write_missing(Arc::clone(&app.missing), app.store.clone()));
        let measured = app.served_metrics().map(|metrics| tokio::spawn(measure(metrics, app.store.clone())));
        let (sockets, server) = (app.limits.sockets(), self.clone());
        let record: Record = Box::new(move |request, client, refusal| {
            access_log::refused(&server.app(), request, client, refusal)
        });
        let guard = Guard::new(sockets, self.proxies.clone(), Some(record));
        let served = sockets.serve_all(listeners, &guard, self.routes(), shutdown).await;
        for task in [upkeep, reports, writes].into_iter().chain(measured) {
            task.abort();
        }
        // Report and write the remaining counts.
        let rest = move || {
            app.refusals.report_all();
            app.missing.write(&app.store);
        };
        let _ = tokio::task::spawn_blocking(rest).await;
        served
    }

    /// The current state.
    fn app(&self) -> Arc<App> {
        Arc::clone(&self.app.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn routes(&self) -> Router {
        let server = self.clone();
        Router::new().fallback(move |request: Request| access_log::respond(server.app(), request))
    }
}
