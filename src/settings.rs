//! Where a setting comes from: the flag, else the environment, else the configuration file, else the default.
//!
//! The file is named by `AIRLOCK_CONFIG`, else it is `~/.config/airlock/config.yaml` if that is there. Its values
//! become the defaults of the flags of the same names, so that `--help` shows them.

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

/// The log of whoever runs this program, for what changes a cluster and belongs to no store.
pub(crate) fn operator_log() -> Option<PathBuf> {
    let named = std::env::var_os(env::STATE_HOME).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || Some(PathBuf::from(std::env::var_os(env::HOME)?).join(".local/state"));
    let state = named.or_else(home).filter(|path| path.is_absolute())?;
    Some(state.join("airlock/log"))
}

/// What was typed, with the rest filled in.
pub(crate) fn parse() -> anyhow::Result<Cli> {
    // Without the file's values, what needs none of them still works.
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
        cli.global.past = past();
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

/// Whether an argument stands on the command line, whichever command takes it.
fn is_typed(matches: &ArgMatches, name: &str) -> bool {
    let here = matches.try_contains_id(name).unwrap_or(false)
        && matches.value_source(name) == Some(ValueSource::CommandLine);
    here || matches.subcommand().is_some_and(|(_, below)| is_typed(below, name))
}

fn needs_no_settings(cli: &Cli) -> bool {
    use crate::cli::Command as C;
    matches!(cli.command, C::Version | C::Schema | C::Completions { .. } | C::Man { .. })
}

/// Gives a flag another default wherever it is taken.
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

/// The folder for what packs signed, beside the operator's log.
fn past() -> Option<PathBuf> {
    Some(operator_log()?.with_file_name("logs"))
}

fn read() -> anyhow::Result<ConfigFile> {
    let named = std::env::var_os(env::CONFIG).map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os(env::HOME)?).join(".config/airlock/config.yaml"));
    let Some(path) = named.clone().or_else(home) else { return Ok(ConfigFile::default()) };
    let text = match input::read_text(&path, input::MOST) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
            return Ok(ConfigFile::default());
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    };
    serde_saphyr::from_str(&text).map_err(|error| {
        let message = format!("`{}` is not a configuration file: {error}", path.display());
        Usage { message, hint: "its members are store, trust, key, listen, htpasswd and auditLog" }.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_nothing() {
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
