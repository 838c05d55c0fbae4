//! The millstream binary: configuration, wiring, command line. The stages' logic is in their own crates.

mod assets;
mod channel;
mod cli;
mod clock;
mod config;
mod demo;
mod serve;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use cli::{Cli, Command, DemoArgs, ServeArgs};

fn main() -> ExitCode {
    cli::report(run(Cli::parse()))
}

fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Serve(arguments) => run_serve(&arguments),
        Command::Demo(arguments) => run_demo(&arguments),
        Command::Channel(arguments) => cli::run_channel(&arguments),
    }
}

fn run_serve(arguments: &ServeArgs) -> Result<()> {
    arguments.role.check()?;
    let loaded = config::load(arguments.config.as_deref(), &arguments.addresses.flags())?;
    if arguments.print_config {
        print!("{}", loaded.config.to_toml()?);
        return Ok(());
    }
    serve::run(loaded, None)
}

fn run_demo(arguments: &DemoArgs) -> Result<()> {
    let mut loaded = config::load(None, &arguments.addresses.flags())?;
    let key = demo::prepare(&mut loaded.config)?;
    serve::run(loaded, Some(key))
}
