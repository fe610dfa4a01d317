//! `greenroom reconcile`: over HTTP if a server runs on the data directory, else on the files themselves.

use std::process::ExitCode;

use greenroom::app;
use reqwest::Method;
use serde_json::Value;

use super::client::{self, Client, print};

#[derive(clap::Args)]
pub struct Args {
    /// Reads the data directory itself; no server may be running on it.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    client: client::ServerArgs,
}

/// Prints what was added up; exits with 1 if something does not.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let report = if args.offline {
        serde_json::to_value(app::reconcile_offline(&args.client.config()?).await?)?
    } else {
        Client::new(&args.client)?.call(Method::GET, "/v1/reconciliation", None).await?
    };
    print(&report)?;
    let differs = report.get("differences").and_then(Value::as_array).is_none_or(|differences| !differences.is_empty());
    Ok(if differs { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
