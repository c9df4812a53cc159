//! The events of a package, with their reasons and notes.

use audit::EventType;

/// An event of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::reconcile) enum PackageEvent<'a> {
    /// The package waits: the reason.
    Waiting(&'a str),
    /// An installation, or an upgrade from a version, was started.
    Started { from: Option<&'a str>, to: &'a str, bundle: &'a str },
    /// The installation or upgrade succeeded.
    Succeeded { from: Option<&'a str>, to: &'a str },
    /// The installation or upgrade failed and will be retried.
    Retrying { upgrade: bool, reason: &'a str },
    /// The installation or upgrade was rejected before anything was changed, until something changes.
    Rejected { upgrade: bool, reason: &'a str },
    /// The installation or upgrade was given up.
    Failed { upgrade: bool, reason: &'a str, retry: &'a str },
    /// The previous version was restored, or the installation was removed if there was none.
    RolledBack { back_to: Option<&'a str> },
    /// Objects of the package were changed or deleted.
    Drifted { objects: &'a str, repaired: bool },
    /// The package is being uninstalled.
    Uninstalling,
    /// The removal failed: the reason.
    UninstallFailed(&'a str),
    /// The package was uninstalled.
    Uninstalled,
    /// The cluster of the package no longer exists.
    ClusterGone(&'a str),
}

impl PackageEvent<'_> {
    /// The reason, as one word for programs.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Waiting(_) => "Waiting",
            Self::Started { from: None, .. } => "Installing",
            Self::Started { .. } => "Upgrading",
            Self::Succeeded { from: None, .. } => "Installed",
            Self::Succeeded { .. } => "Upgraded",
            Self::Retrying { .. } => "Retrying",
            Self::Rejected { .. } => "Refused",
            Self::Failed { upgrade: false, .. } => "InstallFailed",
            Self::Failed { upgrade: true, .. } => "UpgradeFailed",
            Self::RolledBack { .. } => "RolledBack",
            Self::Drifted { repaired: false, .. } => "Drifted",
            Self::Drifted { repaired: true, .. } => "DriftRepaired",
            Self::Uninstalling => "Uninstalling",
            Self::UninstallFailed(_) => "UninstallFailed",
            Self::Uninstalled => "Uninstalled",
            Self::ClusterGone(_) => "ClusterGone",
        }
    }

    /// The note, as text for people.
    pub(super) fn note(&self) -> String {
        match self {
            Self::Waiting(reason) => (*reason).to_owned(),
            Self::Started { from: None, to, bundle } => {
                format!("installing version {to} of the bundle {bundle}")
            }
            Self::Started { from: Some(from), to, .. } if from == to => {
                format!("applying version {to} again with its values and objects")
            }
            Self::Started { from: Some(from), to, bundle } => {
                format!("changing from version {from} to version {to} of the bundle {bundle}")
            }
            Self::Succeeded { from: None, to } => {
                format!("version {to} is installed: all its objects are ready")
            }
            Self::Succeeded { from: Some(from), to } if from == to => {
                format!("version {to} is installed with its new values: all its objects are ready")
            }
            Self::Succeeded { from: Some(from), to } => {
                format!("version {to} replaced {from}: all its objects are ready")
            }
            Self::Retrying { upgrade, reason } => {
                format!("the {} failed and will be retried: {reason}", work(*upgrade))
            }
            Self::Rejected { upgrade, reason } => {
                let work = work(*upgrade);
                format!(
                    "the {work} is rejected until the package, its bundle or the PackageBundleController changes: {reason}"
                )
            }
            Self::Failed { upgrade, reason, retry } => {
                format!("the {} was given up: {reason}. {retry}", work(*upgrade))
            }
            Self::RolledBack { back_to: None } => {
                "the objects that had been installed were removed".to_owned()
            }
            Self::RolledBack { back_to: Some(version) } => {
                format!("version {version} was restored")
            }
            Self::Drifted { objects, repaired: false } => {
                format!("installed objects were changed: {objects}")
            }
            Self::Drifted { objects, repaired: true } => {
                format!("installed objects were changed, and were restored: {objects}")
            }
            Self::Uninstalling => "the package was deleted: its objects are being removed".to_owned(),
            Self::UninstallFailed(reason) => {
                format!("the objects of the package cannot be removed now: {reason}")
            }
            Self::Uninstalled => "all objects of the package were removed".to_owned(),
            Self::ClusterGone(cluster) => {
                format!(
                    "the PackageBundleController and the kubeconfig of the cluster {cluster} are gone: nothing is left to remove"
                )
            }
        }
    }

    pub(super) fn is_warning(&self) -> bool {
        match self {
            Self::Retrying { .. }
            | Self::Rejected { .. }
            | Self::Failed { .. }
            | Self::RolledBack { .. }
            | Self::Drifted { .. }
            | Self::UninstallFailed(_)
            | Self::ClusterGone(_) => true,
            Self::Waiting(_)
            | Self::Started { .. }
            | Self::Succeeded { .. }
            | Self::Uninstalling
            | Self::Uninstalled => false,
        }
    }

    /// Whether the event describes an ongoing state, which is reported once.
    pub(super) fn is_ongoing(&self) -> bool {
        matches!(
            self,
            Self::Waiting(_)
                | Self::Started { .. }
                | Self::Retrying { .. }
                | Self::Rejected { .. }
                | Self::Drifted { .. }
                | Self::Uninstalling
                | Self::UninstallFailed(_)
        )
    }

    /// The type of the event in the audit log, and whether it is a success.
    pub(super) fn audited(&self) -> Option<(EventType, bool)> {
        match self {
            Self::Succeeded { from: None, .. } => Some((EventType::PackageInstall, true)),
            Self::Succeeded { .. } => Some((EventType::PackageUpgrade, true)),
            Self::Failed { upgrade: false, .. } => Some((EventType::PackageInstall, false)),
            Self::Failed { upgrade: true, .. } => Some((EventType::PackageUpgrade, false)),
            Self::RolledBack { .. } => Some((EventType::PackageRollback, true)),
            Self::Uninstalled | Self::ClusterGone(_) => Some((EventType::PackageUninstall, true)),
            Self::Drifted { repaired: true, .. } => Some((EventType::PackageRepair, true)),
            Self::Waiting(_)
            | Self::Started { .. }
            | Self::Retrying { .. }
            | Self::Rejected { .. }
            | Self::Drifted { .. }
            | Self::Uninstalling
            | Self::UninstallFailed(_) => None,
        }
    }
}

fn work(upgrade: bool) -> &'static str {
    if upgrade { "upgrade" } else { "installation" }
}
