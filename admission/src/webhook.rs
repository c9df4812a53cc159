//! The webhook server: serves the decisions of [`eksa`](crate::eksa) and of the image webhooks over TLS.
//!
//! - `server`: the TLS listener; `certificate`: when the serving certificate is replaced; `reconciler`: keeps the CA and
//!   the webhook configurations in the API server up to date; `configuration`: the webhook configurations
//! - `body`: reads request bodies within a memory budget; `review`: admission requests and responses
//! - `packages`: EKS Anywhere's three webhooks; `verify`: the two for images; `policy_check`: the one for policies
//! - `cluster_state`: watched namespaces and trust policies; `policies`: compiled trust policies; `verdicts`: the cache of
//!   image verdicts; `persistence`: the verdicts in a signed `ConfigMap`; `denial`: the reasons for rejecting an image

mod body;
mod certificate;
mod cluster_state;
mod configuration;
mod denial;
mod metrics;
mod packages;
mod persistence;
mod policies;
mod policy_check;
mod reconciler;
mod review;
mod server;
mod verdicts;
mod verify;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::FutureExt as _;
use futures::future::BoxFuture;

pub use configuration::{NAME, WebhookEndpoint, configurations, empty};
pub use metrics::Metrics;

use self::cluster_state::ClusterState;
use self::configuration::Paths;
use self::review::{AdmissionResponse, Request};
use self::verify::ImageVerifier;
use crate::context::Context;
use crate::error::Result;

/// The Secrets of the webhooks: their certificate, and the key that signs verdicts.
pub const SECRETS: [&str; 2] = [reconciler::SECRET, persistence::SECRET];
/// Every response is sent before the API server's timeout of 8 s.
const DEADLINE: Duration = Duration::from_secs(6);

/// The state that the webhooks use for their decisions.
#[derive(Clone)]
struct Webhooks {
    context: Context,
    cluster: ClusterState,
    verifier: ImageVerifier,
    metrics: Metrics,
    /// The server is shutting down: clients must use another replica from now on.
    stopping: Arc<AtomicBool>,
}

/// Serves the webhooks until `stop` completes, and then completes pending requests.
///
/// # Errors
/// If the address cannot be bound or TLS cannot be set up.
pub async fn serve(context: Context, stop: BoxFuture<'static, ()>) -> Result<()> {
    let metrics = Metrics::new(&context.telemetry);
    let resolver = server::CertificateResolver::default();
    let address = context.settings.webhooks;
    let reconciler = reconciler::Reconciler::new(context.clone(), metrics.clone(), resolver.clone());
    let (cluster, watcher) = ClusterState::new(&context);
    let verifier = ImageVerifier::new(context.clone(), cluster.clone(), metrics.clone());
    let (stop, stopping) = (stop.shared(), Arc::<AtomicBool>::default());
    let mark_stopping = async {
        stop.clone().await;
        stopping.store(true, Ordering::Relaxed);
        std::future::pending::<()>().await;
    };
    let router = router(Webhooks {
        context: context.clone(),
        cluster,
        verifier: verifier.clone(),
        metrics,
        stopping: Arc::clone(&stopping),
    });
    tokio::select! {
        result = server::serve(address, resolver, router, stop.clone().boxed()) => result,
        () = mark_stopping => Ok(()),
        () = reconciler.run() => Ok(()),
        () = watcher.watch() => Ok(()),
        () = persistence::synchronize(&context, &verifier) => Ok(()),
    }
}

fn router(webhooks: Webhooks) -> Router {
    let paths =
        [Paths::CONTROLLER, Paths::BUNDLE, Paths::PACKAGE, Paths::POLICY, Paths::MUTATE, Paths::VERIFY];
    let router = paths.into_iter().fold(Router::new(), |router, path| router.route(path, post(respond)));
    router.with_state(webhooks)
}

async fn respond(State(webhooks): State<Webhooks>, http: axum::extract::Request) -> Response {
    let (begun, version, path) = (Instant::now(), http.version(), http.uri().path().to_owned());
    // Until the response is sent, the request counts against the memory budget.
    let (request, _held) = match tokio::time::timeout(DEADLINE, body::read(http)).await {
        Ok(Ok(read)) => read,
        Ok(Err(refused)) => return refused.into_response(),
        Err(_) => {
            return (StatusCode::SERVICE_UNAVAILABLE, "reading the request took too long").into_response();
        }
    };
    let left = DEADLINE.saturating_sub(begun.elapsed());
    let (webhook, response) = webhooks.decide(&path, &request, left).await;
    webhooks.metrics.decided(webhook, response.decision(), begun.elapsed());
    let review = response.write(&request.uid).to_string();
    let mut response = ([(header::CONTENT_TYPE, "application/json")], review).into_response();
    // The API server then closes its connections itself. If this end closed one while the API server sends a request,
    // that request would fail.
    if version == Version::HTTP_11 && webhooks.stopping.load(Ordering::Relaxed) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl Webhooks {
    async fn decide(
        &self,
        path: &str,
        request: &Request,
        left: Duration,
    ) -> (&'static str, AdmissionResponse) {
        let Self { context, cluster, verifier, .. } = self;
        // The configurations request no other operations. Deletions need no check.
        if !matches!(request.operation.as_str(), "CREATE" | "UPDATE") {
            return ("other", AdmissionResponse::default());
        }
        let decided = async {
            match path {
                Paths::CONTROLLER => {
                    ("packagebundlecontroller", packages::controller(context, request).await)
                }
                Paths::BUNDLE => ("packagebundle", packages::bundle(context, request)),
                Paths::PACKAGE => ("package", packages::package(context, request).await),
                Paths::POLICY => {
                    ("trustpolicy", policy_check::check(context, cluster, verifier, request).await)
                }
                Paths::MUTATE => ("mutate-images", verifier.pin(request).await),
                Paths::VERIFY => ("verify-images", verifier.verify(request).await),
                _ => ("other", AdmissionResponse::denied(404, "no such webhook")),
            }
        };
        let late = || {
            (
                "late",
                AdmissionResponse::denied(
                    500,
                    format!("the webhook reached no decision within {} s", DEADLINE.as_secs()),
                ),
            )
        };
        tokio::time::timeout(left, decided).await.unwrap_or_else(|_| late())
    }
}
