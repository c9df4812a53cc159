//! airlock: mirror, pack, prove, import and serve OCI artifacts across an air gap.
//!
//! This package is the command line: the only part that knows every crate, prints, and reads the environment.
//!
//! - `cli`: what can be typed; `env`: variables; `commands`: the verbs, in the order of the data flow
//! - `printer`: standard output is data, standard error is talk; `progress`: bars; `failure`: exit codes

mod cli;
mod commands;
mod env;
mod failure;
mod printer;
mod progress;
mod quickstart;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let printer = printer::Printer::new(&cli.global);
    printer::start_log(cli.global.verbose);
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(commands::run(cli.command, &printer)));
    failure::exit(outcome, &printer)
}
