//! Commands about packages in a cluster: EKS Anywhere's commands, and airlock's additions.
//!
//! - `reach`: the API server; `table`, `describe`: output
//! - `show`: read-only commands; `change`: commands that change something, each logged as an event
//! - `target`: the cluster that packages are installed in, if it is another one
//! - `release`: the charts of packages: rendering, diff, rollback, and the permissions that they need

mod change;
mod describe;
pub(super) mod reach;
mod release;
mod show;
mod table;
mod target;

pub(super) use self::release::ROLES;
use super::install as controller;
use crate::cli::{Apply, Command, Create, Delete, InCluster, Install, Uninstall, Upgrade};
use crate::failure::Status;
use crate::logged::Logs;
use crate::printer::Printer;

pub(super) async fn run(command: InCluster, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    use InCluster as C;
    match command {
        C::List(settings) => show::list(&settings, printer).await,
        C::Get(settings) => show::get(&settings, printer).await,
        C::Describe(settings) => show::describe(&settings, printer).await,
        C::Install(Install::Controller(settings)) => {
            Box::pin(controller::run(&settings, logs, printer)).await
        }
        C::Install(Install::Package(settings)) => change::install(&settings, logs, printer).await,
        C::Uninstall(Uninstall::Controller(settings)) => controller::remove(&settings, logs, printer).await,
        C::Create(Create::Packages(settings)) => change::create(&settings, logs, printer).await,
        C::Apply(Apply::Packages(settings)) => change::apply(&settings, logs, printer).await,
        C::Upgrade(Upgrade::Packages(settings)) => change::upgrade(&settings, logs, printer).await,
        C::Delete(Delete::Packages(settings)) => change::delete(&settings, logs, printer).await,
        C::Package(settings) => release::run(&settings, logs, printer).await,
    }
}

/// Whether a command can print YAML.
pub(super) fn prints_yaml(command: &Command) -> bool {
    use InCluster as C;
    matches!(command, Command::InCluster(C::Get(_) | C::List(_) | C::Describe(_)))
}
