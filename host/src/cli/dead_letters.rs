//! `greenroom dead-letters`: events that could not be settled, over HTTP.

use clap::Subcommand;
use reqwest::Method;

use super::client::{self, Client, print};

#[derive(Subcommand)]
pub enum Command {
    /// Lists them, oldest first.
    List {
        #[command(flatten)]
        client: client::ServerArgs,
    },
    /// Tries one again, now.
    Replay {
        /// Its id.
        id: i64,
        #[command(flatten)]
        client: client::ServerArgs,
    },
    /// Gives its hold back and forgets it.
    Drop {
        /// Its id.
        id: i64,
        #[command(flatten)]
        client: client::ServerArgs,
    },
}

/// Runs a command.
pub async fn run(command: Command) -> anyhow::Result<()> {
    let (client, method, path) = match command {
        Command::List { client } => (client, Method::GET, "/v1/dead-letters".to_owned()),
        Command::Replay { id, client } => (client, Method::POST, format!("/v1/dead-letters/{id}/replay")),
        Command::Drop { id, client } => (client, Method::DELETE, format!("/v1/dead-letters/{id}")),
    };
    print(&Client::new(&client)?.call(method, &path, None).await?)
}
