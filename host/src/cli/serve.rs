//! `greenroom serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use greenroom::app::App;
use greenroom::{config, telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::client::ConfigArgs;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Where to listen.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Installs every component in this folder first.
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// Makes a secret of its own in the data directory. Not for production.
    #[arg(long)]
    dev: bool,
    /// Prints every key with its default and what it means, and stops.
    #[arg(long)]
    print_config: bool,
}

/// Serves until a signal, then drains.
pub async fn run(args: Args) -> anyhow::Result<()> {
    if args.print_config {
        print!("{}", config::DEFAULT);
        return Ok(());
    }
    let mut config = args.config.load()?;
    config.listen = args.listen.unwrap_or(config.listen);
    config.plugins_dir = args.plugins.unwrap_or(config.plugins_dir);
    config.dev |= args.dev;
    telemetry::start(&config.log.filter, config.log.format == "json")?;
    let shutdown = CancellationToken::new();
    let app = App::start(config).await.context("cannot start")?;
    tokio::spawn(stop_on_signal(shutdown.clone()));
    app.serve(shutdown).await?;
    Ok(())
}

/// The first signal drains; a second one ends the process at once.
async fn stop_on_signal(shutdown: CancellationToken) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::error!("cannot listen for signals");
        return;
    };
    for draining in [false, true] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if draining {
            std::process::exit(130);
        }
        tracing::info!("stopping: no new requests, what is under way is finished; a second signal ends it at once");
        shutdown.cancel();
    }
}
