//! The output formats that commands support.

use crate::cli::{Command, Format};
use crate::commands::audit_log::Audit;
use crate::commands::cluster::InCluster;
use crate::failure::Usage;

/// Checks that the command supports the output format.
pub(crate) fn check(command: &Command, format: Format) -> Result<(), Usage> {
    let message = match format {
        Format::Html if !matches!(command, Command::Inspect(_)) => "only `inspect` supports `--output html`",
        Format::Jsonl if !matches!(command, Command::Audit(Audit::Log(_))) => {
            "only `audit log` supports `--output jsonl`"
        }
        Format::Yaml if !prints_yaml(command) => {
            "only commands that show cluster resources support `--output yaml`"
        }
        _ => return Ok(()),
    };
    Err(Usage { message: message.to_owned(), hint: "use text or json" })
}

/// Whether a command can print YAML.
fn prints_yaml(command: &Command) -> bool {
    use InCluster as C;
    matches!(command, Command::InCluster(C::Get(_) | C::List(_) | C::Describe(_)))
}
