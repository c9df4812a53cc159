//! Values of flags, in order of precedence: the flag, the environment, the configuration file, the default.
//!
//! The file is the one in `AIRLOCK_CONFIG`, otherwise `~/.config/airlock/config.yaml`, if it exists. Its values become
//! the defaults of the flags of the same names, so that `--help` shows them.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _};
use serde::Deserialize;

use crate::cli::{Cli, Format};
use crate::env;
use crate::failure::{Unparsable, Usage};

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
        let beside_file = beside_file(&matches);
        Ok((Cli::from_arg_matches(&matches)?, store_first, beside_file))
    });
    let parsed = parsed.map(|(mut cli, store_first, beside_file)| {
        cli.global.store_first = store_first;
        if let crate::cli::Command::Serve(serve) = &mut cli.command {
            serve.beside_file = beside_file;
        }
        cli.global.default_store = default_store;
        cli.global.pack_history = pack_history();
        cli
    });
    match (parsed, broken) {
        (Ok(cli), None) => Ok(cli),
        (Ok(cli), Some(_)) if needs_no_settings(&cli) => Ok(cli),
        (Err(error), Some(broken)) if error.use_stderr() => Err(broken),
        (Err(error), _) if error.use_stderr() && format() == Format::Json => {
            Err(Unparsable::of(&error).into())
        }
        (Err(error), _) => error.exit(),
        (Ok(_), Some(broken)) => Err(broken),
    }
}

/// The output format for errors in the arguments: JSON if they request it, as far as they can be read.
pub(crate) fn format() -> Format {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let texts = arguments.iter().map(|argument| argument.to_str().unwrap_or_default());
    requested(&texts.take_while(|text| *text != "--").collect::<Vec<_>>())
}

fn requested(arguments: &[&str]) -> Format {
    let is_json = |(index, argument): (usize, &&str)| {
        let next = || arguments.get(index + 1).copied().unwrap_or_default();
        let value = match argument.strip_prefix("--output") {
            Some("") => Some(next()),
            Some(rest) => rest.strip_prefix('='),
            // `-o` can follow other short flags without a value.
            None => {
                let flags = argument.strip_prefix('-').map(|flags| flags.trim_start_matches(['q', 'v']));
                flags.and_then(|flags| flags.strip_prefix('o')).map(|rest| match rest {
                    "" => next(),
                    rest => rest.strip_prefix('=').unwrap_or(rest),
                })
            }
        };
        value == Some("json")
    };
    if arguments.iter().enumerate().any(is_json) { Format::Json } else { Format::Text }
}

/// Whether an argument is on the command line, for any subcommand.
fn is_typed(matches: &ArgMatches, name: &str) -> bool {
    let here = matches.try_contains_id(name).unwrap_or(false)
        && matches.value_source(name) == Some(ValueSource::CommandLine);
    here || matches.subcommand().is_some_and(|(_, below)| is_typed(below, name))
}

/// A flag of `serve` on the command line that sets the same as the file that is given, too. Environment variables and the
/// configuration file only set defaults.
fn beside_file(matches: &ArgMatches) -> Option<&'static str> {
    let serve = matches.subcommand_matches("serve").filter(|serve| is_typed(serve, "file"))?;
    ["store", "trust"].into_iter().find(|name| is_typed(serve, name))
}

fn needs_no_settings(cli: &Cli) -> bool {
    use crate::cli::Command as C;
    matches!(cli.command, C::Version | C::Schema { .. } | C::Completions { .. } | C::Man { .. })
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
    fn o14_json_is_requested_in_every_form_of_the_flag() {
        let forms: [&[&str]; 7] = [
            &["pack", "-o", "json"],
            &["-ojson", "pack"],
            &["-o=json"],
            &["-qvo", "json"],
            &["--output", "json"],
            &["pack", "--output=json"],
            &["-qojson"],
        ];
        for arguments in forms {
            assert_eq!(requested(arguments), Format::Json, "{arguments:?}");
        }
        let others: [&[&str]; 5] =
            [&["json"], &["-o", "text"], &["--output"], &["--output-dir", "json"], &[]];
        for arguments in others {
            assert_eq!(requested(arguments), Format::Text, "{arguments:?}");
        }
    }

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
