//! The millstream binary: configuration, wiring, command line. The stages' logic is in their own crates.

mod assets;
mod channel;
mod cli;
mod clock;
mod config;
mod demo;
mod modes;
mod serve;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use cli::{Cli, Command, DemoArgs, ServeArgs};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Its exit code says more than that it failed.
    if let Command::Check(arguments) = &cli.command {
        return cli::run_check(arguments);
    }
    if let Command::Load(arguments) = &cli.command {
        return cli::run_load(arguments);
    }
    cli::report(run(cli))
}

fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Serve(arguments) => run_serve(&arguments),
        Command::Demo(arguments) => run_demo(&arguments),
        Command::Channel(arguments) => cli::run_channel(&arguments),
        Command::Asset(arguments) => cli::run_asset(&arguments),
        Command::Token(arguments) => cli::run_token(&arguments),
        Command::User(arguments) => cli::run_user(&arguments),
        Command::Sign(arguments) => cli::run_sign(&arguments),
        Command::Key(arguments) => cli::run_key(&arguments),
        Command::Check(_) | Command::Load(_) => Ok(()),
    }
}

fn run_serve(arguments: &ServeArgs) -> Result<()> {
    arguments.role.check()?;
    let flags = config::Flags { origins: arguments.origin.clone(), ..arguments.addresses.flags() };
    let loaded = config::load(arguments.config.as_deref(), &flags)?;
    if arguments.print_config {
        print!("{}", loaded.config.to_toml()?);
        return Ok(());
    }
    if arguments.role == cli::Role::Edge {
        return serve::run_edge(loaded);
    }
    serve::run(loaded, None)
}

fn run_demo(arguments: &DemoArgs) -> Result<()> {
    let mut loaded = config::load(None, &arguments.addresses.flags())?;
    let key = demo::prepare(&mut loaded.config)?;
    serve::run(loaded, Some(key))
}
