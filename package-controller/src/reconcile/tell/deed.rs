//! What can be done to a package, in words that say what happened and what follows.

use audit::EventType;

/// What was done to a package, or could not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::reconcile) enum Deed<'a> {
    /// Something must happen first.
    Waiting(&'a str),
    /// An installation, or an upgrade from a version, begins.
    Begins { from: Option<&'a str>, to: &'a str, bundle: &'a str },
    /// It ended well.
    Done { from: Option<&'a str>, to: &'a str },
    /// It did not succeed this time.
    Unwell { upgrade: bool, reason: &'a str },
    /// It will not succeed as things are, and nothing was changed.
    Refused { upgrade: bool, reason: &'a str },
    /// It was given up.
    Failed { upgrade: bool, reason: &'a str, retry: &'a str },
    /// What there was before is there again; or nothing, where there was nothing.
    RolledBack { back_to: Option<&'a str> },
    /// Somebody changed or removed objects of it.
    Drifted { objects: &'a str, repaired: bool },
    /// It is being taken away.
    Leaving,
    /// It cannot be taken away now.
    Stays(&'a str),
    /// All of it is gone.
    Gone,
    /// Its cluster is gone, and with it all of it.
    ClusterGone(&'a str),
}

impl Deed<'_> {
    /// One word for programs.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Waiting(_) => "Waiting",
            Self::Begins { from: None, .. } => "Installing",
            Self::Begins { .. } => "Upgrading",
            Self::Done { from: None, .. } => "Installed",
            Self::Done { .. } => "Upgraded",
            Self::Unwell { .. } => "Retrying",
            Self::Refused { .. } => "Refused",
            Self::Failed { upgrade: false, .. } => "InstallFailed",
            Self::Failed { upgrade: true, .. } => "UpgradeFailed",
            Self::RolledBack { .. } => "RolledBack",
            Self::Drifted { repaired: false, .. } => "Drifted",
            Self::Drifted { repaired: true, .. } => "DriftRepaired",
            Self::Leaving => "Uninstalling",
            Self::Stays(_) => "UninstallFailed",
            Self::Gone => "Uninstalled",
            Self::ClusterGone(_) => "ClusterGone",
        }
    }

    /// What happened, for people.
    pub(super) fn note(&self) -> String {
        match self {
            Self::Waiting(what) => (*what).to_owned(),
            Self::Begins { from: None, to, bundle } => {
                format!("installing version {to} of the bundle {bundle}")
            }
            Self::Begins { from: Some(from), to, .. } if from == to => {
                format!("applying version {to} again, with its values and objects as they should be")
            }
            Self::Begins { from: Some(from), to, bundle } => {
                format!("changing from version {from} to {to} of the bundle {bundle}")
            }
            Self::Done { from: None, to } => format!("version {to} is installed: all its objects are ready"),
            Self::Done { from: Some(from), to } if from == to => {
                format!("version {to} is installed with its new values: all its objects are ready")
            }
            Self::Done { from: Some(from), to } => {
                format!("version {to} took the place of {from}: all its objects are ready")
            }
            Self::Unwell { upgrade, reason } => {
                format!("the {} did not succeed and will be tried again: {reason}", work(*upgrade))
            }
            Self::Refused { upgrade, reason } => {
                let work = work(*upgrade);
                format!(
                    "the {work} is refused until the package, its bundle or the settings change: {reason}"
                )
            }
            Self::Failed { upgrade, reason, retry } => {
                format!("the {} was given up: {reason}. {retry}", work(*upgrade))
            }
            Self::RolledBack { back_to: None } => "what had been installed of it was taken away".to_owned(),
            Self::RolledBack { back_to: Some(version) } => {
                format!("version {version} is there again as it was before")
            }
            Self::Drifted { objects, repaired: false } => {
                format!("somebody changed what was installed: {objects}")
            }
            Self::Drifted { objects, repaired: true } => {
                format!("somebody changed what was installed, and it was put right: {objects}")
            }
            Self::Leaving => "the package was deleted: what it installed is being taken away".to_owned(),
            Self::Stays(reason) => format!("what it installed cannot be taken away now: {reason}"),
            Self::Gone => "all that it installed is gone".to_owned(),
            Self::ClusterGone(cluster) => {
                format!(
                    "the cluster {cluster} has neither settings nor a kubeconfig any more: nothing is left to take away"
                )
            }
        }
    }

    pub(super) fn is_warning(&self) -> bool {
        match self {
            Self::Unwell { .. }
            | Self::Refused { .. }
            | Self::Failed { .. }
            | Self::RolledBack { .. }
            | Self::Drifted { .. }
            | Self::Stays(_)
            | Self::ClusterGone(_) => true,
            Self::Waiting(_) | Self::Begins { .. } | Self::Done { .. } | Self::Leaving | Self::Gone => false,
        }
    }

    /// Whether it goes on being so, and is told once.
    pub(super) fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Waiting(_)
                | Self::Begins { .. }
                | Self::Unwell { .. }
                | Self::Refused { .. }
                | Self::Drifted { .. }
                | Self::Leaving
                | Self::Stays(_)
        )
    }

    /// As which event it goes into the audit log, and whether it went well.
    pub(super) fn audited(&self) -> Option<(EventType, bool)> {
        match self {
            Self::Done { from: None, .. } => Some((EventType::PackageInstall, true)),
            Self::Done { .. } => Some((EventType::PackageUpgrade, true)),
            Self::Failed { upgrade: false, .. } => Some((EventType::PackageInstall, false)),
            Self::Failed { upgrade: true, .. } => Some((EventType::PackageUpgrade, false)),
            Self::RolledBack { .. } => Some((EventType::PackageRollback, true)),
            Self::Gone | Self::ClusterGone(_) => Some((EventType::PackageUninstall, true)),
            Self::Drifted { repaired: true, .. } => Some((EventType::PackageRepair, true)),
            Self::Waiting(_)
            | Self::Begins { .. }
            | Self::Unwell { .. }
            | Self::Refused { .. }
            | Self::Drifted { .. }
            | Self::Leaving
            | Self::Stays(_) => None,
        }
    }
}

fn work(upgrade: bool) -> &'static str {
    if upgrade { "upgrade" } else { "installation" }
}
