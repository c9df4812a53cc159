//! Packages in a cluster, from the command line: EKS Anywhere's commands.
//!
//! - `reach`: the API server; `table`, `describe`: how things are printed
//! - `show`: commands that look; `change`: commands that change something, each of which is an event
//! - `target`: the cluster that packages are installed in, where it is another
//! - `release`: what a package comes to as a chart: rendered, compared, rolled back, and the rights it needs

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

/// Whether a command shows something that YAML is the way to write.
pub(super) fn prints_yaml(command: &Command) -> bool {
    use InCluster as C;
    matches!(command, Command::InCluster(C::Get(_) | C::List(_) | C::Describe(_)))
}
