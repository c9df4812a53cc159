//! Values of flags, in order of precedence: the flag, the environment, the configuration file, the default.
//!
//! The file is the one in `AIRLOCK_CONFIG`, otherwise `~/.config/airlock/config.yaml`, if it exists. Its values become
//! the defaults of the flags of the same names, so that `--help` shows them.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _};
use serde::Deserialize;

use crate::cli::Cli;
use crate::env;
use crate::failure::Usage;

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ConfigFile {
    store: Option<String>,
    trust: Option<String>,
    key: Option<String>,
    listen: Option<String>,
    htpasswd: Option<String>,
    audit_log: Option<String>,
}

/// The log of the user who runs this program, for changes to a cluster that belong to no store.
pub(crate) fn operator_log() -> Option<PathBuf> {
    let named = std::env::var_os(env::STATE_HOME).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || Some(PathBuf::from(std::env::var_os(env::HOME)?).join(".local/state"));
    let state = named.or_else(home).filter(|path| path.is_absolute())?;
    Some(state.join("airlock/log"))
}

/// Parses the command line, and fills in defaults.
pub(crate) fn parse() -> anyhow::Result<Cli> {
    // If the file is broken, commands that do not need it still work.
    let (file, broken) = match read() {
        Ok(file) => (file, None),
        Err(error) => (ConfigFile::default(), Some(error)),
    };
    let default_store = std::env::var_os(env::STORE).map(PathBuf::from);
    let default_store = default_store.or_else(|| file.store.clone().map(PathBuf::from));
    let values = [
        ("store", file.store),
        ("trust", file.trust),
        ("key", file.key),
        ("listen", file.listen),
        ("htpasswd", file.htpasswd),
        ("audit_log", file.audit_log),
    ];
    let mut command = Cli::command();
    for (name, value) in values {
        if let Some(value) = value {
            command = with_default(command, name, &value);
        }
    }
    let parsed = command.try_get_matches().and_then(|matches| {
        let store_first = is_typed(&matches, "store") && !is_typed(&matches, "audit_log");
        Ok((Cli::from_arg_matches(&matches)?, store_first))
    });
    let parsed = parsed.map(|(mut cli, store_first)| {
        cli.global.store_first = store_first;
        cli.global.default_store = default_store;
        cli.global.pack_history = pack_history();
        cli
    });
    match (parsed, broken) {
        (Ok(cli), None) => Ok(cli),
        (Ok(cli), Some(_)) if needs_no_settings(&cli) => Ok(cli),
        (Err(error), Some(broken)) if error.use_stderr() => Err(broken),
        (Err(error), _) => error.exit(),
        (Ok(_), Some(broken)) => Err(broken),
    }
}

/// Whether an argument is on the command line, for any subcommand.
fn is_typed(matches: &ArgMatches, name: &str) -> bool {
    let here = matches.try_contains_id(name).unwrap_or(false)
        && matches.value_source(name) == Some(ValueSource::CommandLine);
    here || matches.subcommand().is_some_and(|(_, below)| is_typed(below, name))
}

fn needs_no_settings(cli: &Cli) -> bool {
    use crate::cli::Command as C;
    matches!(cli.command, C::Version | C::Schema | C::Completions { .. } | C::Man { .. })
}

/// Changes a flag's default in all commands that have it.
fn with_default(mut command: Command, name: &'static str, value: &str) -> Command {
    if command.get_arguments().any(|argument| argument.get_id() == name) {
        let value = value.to_owned();
        command = command.mut_arg(name, |argument| argument.default_value(value).required(false));
    }
    let below: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for subcommand in below {
        command = command.mut_subcommand(subcommand, |command| with_default(command, name, value));
    }
    command
}

/// The folder for the newest checkpoints that packs signed, next to the operator's log.
fn pack_history() -> Option<PathBuf> {
    Some(operator_log()?.with_file_name("logs"))
}

fn read() -> anyhow::Result<ConfigFile> {
    let named = std::env::var_os(env::CONFIG).map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os(env::HOME)?).join(".config/airlock/config.yaml"));
    let Some(path) = named.clone().or_else(home) else { return Ok(ConfigFile::default()) };
    let text = match input::read_text(&path, input::MAX_SIZE) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
            return Ok(ConfigFile::default());
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    };
    serde_saphyr::from_str(&text).map_err(|error| {
        let message = format!("`{}` is not a configuration file: {error}", path.display());
        Usage { message, hint: "use only the fields store, trust, key, listen, htpasswd and auditLog" }.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_overrides_the_file_and_the_file_is_the_default() {
        let command = || with_default(Cli::command(), "store", "from-file");
        let store = |arguments: &[&str]| {
            let matches = command().try_get_matches_from(arguments).unwrap();
            let (_, below) = matches.subcommand().unwrap();
            below.subcommand().unwrap().1.get_one::<PathBuf>("store").unwrap().clone()
        };
        assert_eq!(store(&["airlock", "store", "list"]), PathBuf::from("from-file"));
        assert_eq!(store(&["airlock", "store", "list", "--store", "typed"]), PathBuf::from("typed"));
    }
}
