//! `greenroom token`: a token signed with the server's secret.

use std::time::Duration;

use anyhow::Context;
use greenroom::app;
use greenroom::config::Config;
use greenroom::domain::UserId;
use greenroom::http::auth;
use greenroom_manifest::Role;

use super::client::ConfigArgs;

/// The user id in the tokens that the command line makes for itself.
const COMMAND_LINE_USER: UserId = UserId(1);
/// How long such a token lasts.
const COMMAND_LINE_TTL: Duration = Duration::from_secs(600);

#[derive(clap::Args)]
pub struct Args {
    /// The user's id, 1 or more.
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    user: i64,
    /// What the user may do.
    #[arg(long, value_parser = role, value_name = "viewer|streamer|operator|service")]
    role: Role,
    /// The viewer's level, for gifts that ask for one.
    #[arg(long, default_value_t = 0)]
    level: u32,
    /// How long the token lasts, in seconds.
    #[arg(long, default_value_t = 86_400)]
    ttl_s: u64,
    #[command(flatten)]
    config: ConfigArgs,
}

fn role(text: &str) -> Result<Role, String> {
    match text {
        "viewer" => Ok(Role::Viewer),
        "streamer" => Ok(Role::Streamer),
        "operator" => Ok(Role::Operator),
        "service" => Ok(Role::Service),
        _ => Err("must be viewer, streamer, operator or service".into()),
    }
}

/// Prints the token.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let ttl = Duration::from_secs(args.ttl_s);
    println!("{}", issue(&config, UserId(args.user), args.role, args.level, ttl)?);
    Ok(())
}

/// A short-lived operator's token for the command line itself.
pub fn operator(config: &Config) -> anyhow::Result<String> {
    issue(config, COMMAND_LINE_USER, Role::Operator, 0, COMMAND_LINE_TTL)
}

fn issue(config: &Config, user: UserId, role: Role, level: u32, ttl: Duration) -> anyhow::Result<String> {
    let secret = app::secret(config).context("no secret: set auth.hs256_secret, or start the server with --dev")?;
    Ok(auth::issue(&secret, user, role, level, ttl)?)
}
