//! `greenroom lottery`: computes a draw again from what everybody can read.

mod draw;

use anyhow::{Context, bail};
use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;

use super::client::{self, Client};
use draw::Public;

#[derive(Subcommand)]
pub enum Command {
    /// Verifies a lottery: that the secret is the one that was committed to, that the list of entrants is the one whose digest was
    /// published, and that the draw gives these winners. Ends with 1 if not.
    Verify {
        /// The room.
        room: i64,
        /// The lottery's id.
        lottery: String,
        #[command(flatten)]
        client: client::ServerArgs,
    },
}

/// Runs a command.
pub async fn run(command: Command) -> anyhow::Result<()> {
    let Command::Verify { room, lottery, client } = command;
    let client = Client::new(&client)?;
    let path = format!("/v1/rooms/{room}/lotteries/{lottery}");
    let public = client.call(Method::GET, &path, None).await?;
    let status = public.get("status").and_then(Value::as_str).unwrap_or_default();
    if status != "drawn" {
        bail!("lottery {lottery} is {status}: there is no draw to verify");
    }
    let public: Public = serde_json::from_value(public).context("the lottery is not as this version knows it")?;
    let entrants = entrants(&client, &path).await?;
    let faults = public.faults(&entrants)?;
    if !faults.is_empty() {
        bail!("lottery {lottery}: {}", faults.join("; "));
    }
    println!("{} entrants, {} winners: the draw is as it was promised", entrants.len(), public.wins.len());
    Ok(())
}

/// All of them, in ascending order of their ids.
async fn entrants(client: &Client, path: &str) -> anyhow::Result<Vec<(i64, u64)>> {
    let mut all = Vec::new();
    let mut query = String::new();
    loop {
        let page = client.call(Method::GET, &format!("{path}/entrants{query}"), None).await?;
        for entrant in page.get("items").and_then(Value::as_array).into_iter().flatten() {
            let user_id = entrant.get("userId").and_then(Value::as_str).and_then(|text| text.parse().ok());
            let chances = entrant.get("chances").and_then(Value::as_u64);
            all.push(user_id.zip(chances).with_context(|| format!("an entrant is {entrant}"))?);
        }
        match page.get("nextCursor").and_then(Value::as_str) {
            Some(cursor) => query = format!("?cursor={cursor}"),
            None => break,
        }
    }
    all.sort_unstable();
    Ok(all)
}
