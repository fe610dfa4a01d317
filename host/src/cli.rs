//! The command line. `serve` runs the server; everything else talks to a server over HTTP, except what needs none.

mod client;
mod dead_letters;
mod lottery;
mod plugin;
mod reconcile;
mod room;
mod serve;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A WebAssembly plugin host for live-streaming rooms.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  greenroom serve --dev --plugins target/plugins      a server with everything in ./data
  greenroom token --user 1001 --role viewer           a token for a viewer
  greenroom room create --title Demo --streamer 77    a room; then: greenroom room start <room> --plugin gift
  greenroom reconcile                                 adds everything up; exits with 1 on any difference";

#[derive(Subcommand)]
enum Command {
    /// Runs the server until SIGINT or SIGTERM, then drains and stops.
    Serve(serve::Args),
    /// Prints a token for a user.
    Token(token::Args),
    /// Packs, installs, lists and removes plugins.
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Makes rooms, starts and ends streams, toggles plugins.
    #[command(subcommand)]
    Room(room::Command),
    /// Adds everything up and prints what does not, as JSON; exits with 1 on any difference.
    Reconcile(reconcile::Args),
    /// Lists, replays and drops events that could not be settled.
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    /// Computes a lottery's draw again from what everybody can read.
    #[command(subcommand)]
    Lottery(lottery::Command),
    /// Puts load on a server and checks every coin afterwards.
    Bench(Box<greenroom::bench::Args>),
}

/// Runs a command.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(args) => serve::run(args).await?,
        Command::Token(args) => token::run(&args)?,
        Command::Plugin(command) => plugin::run(command).await?,
        Command::Room(command) => room::run(command).await?,
        Command::Reconcile(args) => return reconcile::run(args).await,
        Command::DeadLetters(command) => dead_letters::run(command).await?,
        Command::Lottery(command) => lottery::run(command).await?,
        Command::Bench(args) => greenroom::bench::run(*args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn every_command_and_its_arguments_are_well_formed() {
        super::Cli::command().debug_assert();
    }
}
