//! airlock: mirror, pack, verify, import and serve OCI artifacts across an air gap.
//!
//! This package is the command line: the only part that depends on every crate, prints, and reads the environment.
//!
//! - `logged`: how commands write events to the audit log; `clock`: the time in records
//! - `cli`: the top level of the command-line arguments, and those that commands share; `settings` and `env`: where values
//!   come from
//! - `commands`: the commands with their arguments, in the order of the data flow; `gates`: the trust file's gates
//! - `admission`: checks a drive's log; `carried`: the log that `pack` writes to a drive
//! - `past`: the newest checkpoints that packs signed; `passed`: sockets that systemd passes
//! - `files`, `stores`, `trust_input`: what the user names: files, stores, trust files and keys
//! - `retention`: retention of tags, and what it keeps
//! - `observability`: a registry's metrics and access log
//! - `printer`: data on standard output, messages on standard error; `output_format`: which command supports which
//!   format; `progress`: progress bars; `failure`: exit codes

mod admission;
mod carried;
mod cli;
mod clock;
mod commands;
mod env;
mod failure;
mod files;
mod gates;
mod logged;
mod observability;
mod output_format;
mod passed;
mod past;
mod printer;
mod progress;
mod quickstart;
mod retention;
mod settings;
mod stores;
mod trust_input;

use std::process::ExitCode;

fn main() -> ExitCode {
    passed::receive();
    let cli = match settings::parse() {
        Ok(cli) => cli,
        Err(error) => return failure::exit(Err(error), &printer::Printer::of_errors(settings::format())),
    };
    let printer = printer::Printer::new(&cli.global);
    printer::start_log(cli.global.verbose, !matches!(cli.command, cli::Command::Controller(_)));
    let logs = logged::Logs {
        named: cli.global.audit_log.clone(),
        store_first: cli.global.store_first,
        default_store: cli.global.default_store.clone(),
        operator: settings::operator_log(),
        pack_history: past::PackHistory(cli.global.pack_history.clone()),
    };
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(commands::run(cli.command, &logs, &printer)));
    failure::exit(outcome, &printer)
}
