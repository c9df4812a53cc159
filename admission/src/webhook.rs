//! The webhooks on the network: what [`eksa`](crate::eksa) and [`workload_images`] decide, served
//! over TLS.
//!
//! - `server`: sockets; `certificate`: when the serving certificate is replaced; `keeper`: that the API server trusts
//!   it, and that the webhook configurations stay; `configuration`: what those say
//! - `body`: the bytes of a question, within a budget; `review`: the API server's question and our answer
//! - `packages`: EKS Anywhere's three webhooks; `verify`: the two for images; `policy_check`: the one for policies
//! - `watched`: what is known of the cluster; `policies`: trust policies as they are used; `verdicts`: what is known
//!   of images; `remembered`: the same between two runs, signed

mod body;
mod certificate;
mod configuration;
mod keeper;
mod metrics;
mod packages;
mod policies;
mod policy_check;
mod remembered;
mod review;
mod server;
mod verdicts;
mod verify;
mod watched;
mod why;

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

pub use configuration::{NAME, Reach, configurations, empty};
pub use metrics::Metrics;

use self::configuration::Paths;
use self::review::{Answer, Request};
use self::verify::Judge;
use self::watched::Watched;
use crate::context::Context;
use crate::error::Result;

/// The secrets that the webhooks keep: their certificate, and the key by which they know verdicts again.
pub const SECRETS: [&str; 2] = [keeper::SECRET, remembered::SECRET];
/// Every answer is given before the API server's own patience ends, at 8 s.
const DEADLINE: Duration = Duration::from_secs(6);

/// What the webhooks decide with.
#[derive(Clone)]
struct Webhooks {
    context: Context,
    watched: Watched,
    judge: Judge,
    metrics: Metrics,
    /// Whoever asks is to ask another replica from now on.
    ending: Arc<AtomicBool>,
}

/// Serves the webhooks until `stop` comes, and lets requests under way end.
///
/// # Errors
/// When the address is taken or the serving certificate cannot be made.
pub async fn serve(context: Context, stop: BoxFuture<'static, ()>) -> Result<()> {
    let metrics = Metrics::new(&context.telemetry);
    let served = server::Served::default();
    let address = context.settings.webhooks;
    let keeper = keeper::Keeper::new(context.clone(), metrics.clone(), served.clone());
    let (watched, keeps) = Watched::new(&context);
    let judge = Judge::new(context.clone(), watched.clone(), metrics.clone());
    let (stop, ending) = (stop.shared(), Arc::<AtomicBool>::default());
    let told = async {
        stop.clone().await;
        ending.store(true, Ordering::Relaxed);
        std::future::pending::<()>().await;
    };
    let router = router(Webhooks {
        context: context.clone(),
        watched,
        judge: judge.clone(),
        metrics,
        ending: Arc::clone(&ending),
    });
    tokio::select! {
        result = server::serve(address, served, router, stop.clone().boxed()) => result,
        () = told => Ok(()),
        () = keeper.keep() => Ok(()),
        () = keeps.watch() => Ok(()),
        () = remembered::remember(&context, &judge) => Ok(()),
    }
}

fn router(webhooks: Webhooks) -> Router {
    let paths =
        [Paths::CONTROLLER, Paths::BUNDLE, Paths::PACKAGE, Paths::POLICY, Paths::MUTATE, Paths::VERIFY];
    let router = paths.into_iter().fold(Router::new(), |router, path| router.route(path, post(answer)));
    router.with_state(webhooks)
}

async fn answer(State(webhooks): State<Webhooks>, asked: axum::extract::Request) -> Response {
    let (begun, version, path) = (Instant::now(), asked.version(), asked.uri().path().to_owned());
    // Until it is answered, it counts as held in memory.
    let (request, _held) = match tokio::time::timeout(DEADLINE, body::read(asked)).await {
        Ok(Ok(read)) => read,
        Ok(Err(refused)) => return refused.into_response(),
        Err(_) => return (StatusCode::SERVICE_UNAVAILABLE, "the request took too long").into_response(),
    };
    let left = DEADLINE.saturating_sub(begun.elapsed());
    let (webhook, answer) = webhooks.decide(&path, &request, left).await;
    webhooks.metrics.decided(webhook, answer.word(), begun.elapsed());
    let review = answer.write(&request.uid).to_string();
    let mut response = ([(header::CONTENT_TYPE, "application/json")], review).into_response();
    // The API server gives its connections up by itself then; one that is closed here while it sends a request would
    // cost that request.
    if version == Version::HTTP_11 && webhooks.ending.load(Ordering::Relaxed) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl Webhooks {
    async fn decide(&self, path: &str, request: &Request, left: Duration) -> (&'static str, Answer) {
        let Self { context, watched, judge, .. } = self;
        // The configurations ask for no other operations; what is deleted needs no judgement.
        if !matches!(request.operation.as_str(), "CREATE" | "UPDATE") {
            return ("other", Answer::default());
        }
        let decided = async {
            match path {
                Paths::CONTROLLER => {
                    ("packagebundlecontroller", packages::controller(context, request).await)
                }
                Paths::BUNDLE => ("packagebundle", packages::bundle(context, request)),
                Paths::PACKAGE => ("package", packages::package(context, request).await),
                Paths::POLICY => ("trustpolicy", policy_check::check(context, watched, judge, request).await),
                Paths::MUTATE => ("mutate-images", judge.pin(request).await),
                Paths::VERIFY => ("verify-images", judge.verify(request).await),
                _ => ("other", Answer::denied(404, "there is no such webhook")),
            }
        };
        let late =
            || ("late", Answer::denied(500, format!("it was not decided within {} s", DEADLINE.as_secs())));
        tokio::time::timeout(left, decided).await.unwrap_or_else(|_| late())
    }
}
