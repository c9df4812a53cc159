//! Commands about packages in a cluster: EKS Anywhere's commands, and airlock's additions.
//!
//! - `reach`: the API server; `kubeconfig`: where it is; `table`, `describe`: output
//! - `show`: read-only commands; `change`: commands that change something, each logged as an event
//! - `target`: the cluster that packages are installed in, if it is another one
//! - `release`: the charts of packages: rendering, diff, rollback, and the permissions that they need

mod change;
mod describe;
mod kubeconfig;
pub(super) mod reach;
mod release;
mod show;
mod table;
mod target;

pub(super) use self::release::ROLES;
use clap::Subcommand;

use self::change::FromFile;
use self::change::delete::DeletePackages;
use self::change::install::InstallPackage;
use self::change::upgrade::UpgradePackages;
use self::release::PackageCommand;
use self::show::{Describe, Get, List};
use super::install as controller;
use super::install::{InstallController, UninstallController};
use crate::failure::Status;
use crate::logged::Logs;
use crate::printer::Printer;

/// The commands that contact a cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum InCluster {
    /// List the packages in a bundle.
    #[command(subcommand)]
    List(List),
    /// Install the controller or a package.
    #[command(subcommand)]
    Install(Install),
    /// Uninstall the controller.
    #[command(subcommand)]
    Uninstall(Uninstall),
    /// Create packages in a cluster.
    #[command(subcommand)]
    Create(Create),
    /// Create or update packages in a cluster.
    #[command(subcommand)]
    Apply(Apply),
    /// Show packages, bundles and controller settings of a cluster.
    #[command(subcommand)]
    Get(Get),
    /// Show details of packages in a cluster.
    #[command(subcommand)]
    Describe(Describe),
    /// Upgrade a cluster's packages to another bundle.
    #[command(subcommand)]
    Upgrade(Upgrade),
    /// Delete packages from a cluster.
    #[command(subcommand)]
    Delete(Delete),
    /// Render, diff and roll back packages.
    #[command(subcommand)]
    Package(PackageCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Create {
    /// Create packages from a file.
    #[command(visible_alias = "package", after_help = "Example: airlock create packages -f harbor.yaml")]
    Packages(FromFile),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Apply {
    /// Create or update packages from a file.
    #[command(visible_alias = "package", after_help = "Example: airlock apply packages -f harbor.yaml")]
    Packages(FromFile),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Install {
    /// Install the controller in a cluster. Packages the running binary as the controller's image.
    #[command(visible_aliases = ["packagecontroller", "pc"])]
    Controller(Box<InstallController>),
    /// Install a package of the active bundle.
    #[command(
        visible_alias = "packages",
        after_help = "Example: airlock install package harbor --package-name my-harbor --cluster mgmt --set expose.type=nodePort"
    )]
    Package(InstallPackage),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Uninstall {
    /// Uninstall the controller from a cluster. Objects that packages installed are kept.
    Controller(UninstallController),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Upgrade {
    /// Activate another bundle. Packages upgrade to its versions.
    #[command(
        visible_alias = "package",
        after_help = "Example: airlock upgrade packages --bundle-version v1-35-8 --cluster mgmt"
    )]
    Packages(UpgradePackages),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Delete {
    /// Delete packages and everything that they installed.
    #[command(
        visible_alias = "package",
        after_help = "Example: airlock delete packages harbor --cluster mgmt"
    )]
    Packages(DeletePackages),
}

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
