//! `cargo xtask run`: a server with a live room, a viewer with money, and the lines to play with it.
//!
//! The host is built in the `dev` profile: its dependencies are optimised there, and a first build takes half as long as
//! `release`. `--release` is there for those who measure.

mod hosts;

use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::server::{Options, Server, interrupts};
use crate::workspace::{Workspace, cargo};
use crate::{plugins, services};
use greenroom_services::{Lent, progress};

const ROOM: &str = "1";
const VIEWER: &str = "1001";
const STREAMER: &str = "77";
const POLL: Duration = Duration::from_millis(200);

/// Options of `cargo xtask run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR:PORT")]
    listen: String,
    /// Builds the host optimised as for production; the first time takes long.
    #[arg(long)]
    release: bool,
    /// Starts three hosts over Redis, Kafka and PostgreSQL, and those as well, in place of one over the embedded backends.
    #[arg(long)]
    distributed: bool,
}

/// Builds, starts, sets up, explains, and stays until Ctrl-C.
///
/// # Errors
/// If something does not build, or the server ends on its own.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    let plugins = plugins::run(workspace)?;
    let shipped = plugins::shipped(workspace)?;
    let program = build_host(workspace, args.release)?;
    let data_dir = workspace.target.join("demo");
    let options = Options {
        program: &program,
        plugins: &plugins,
        data_dir: &data_dir,
        listen: &args.listen,
        env: &[],
        secret: None,
    };
    let interrupted = interrupts()?;
    if args.distributed {
        let services = Lent::start(&services::folder(workspace))?;
        let servers = hosts::start(&options, &services.variables)?;
        return stay(servers, &shipped, &interrupted, &program, &data_dir);
    }
    stay(vec![Server::start(&options)?], &shipped, &interrupted, &program, &data_dir)
}

/// Sets up the first of the servers, explains, and stays until Ctrl-C.
fn stay(
    mut servers: Vec<Server>,
    plugins: &[String],
    interrupted: &Receiver<()>,
    program: &Path,
    data_dir: &Path,
) -> anyhow::Result<()> {
    let first = servers.first().context("there is no server")?;
    set_up(first, plugins).context("cannot set up the demo room")?;
    explain(first, program, data_dir)?;
    for other in servers.iter().skip(1) {
        println!("Another host of the same room: http://{}/v1", other.authority);
    }
    loop {
        if interrupted.recv_timeout(POLL).is_ok() {
            eprintln!("stopping …");
            return servers.into_iter().try_for_each(Server::stop);
        }
        for server in &mut servers {
            if let Some(status) = server.ended()? {
                anyhow::bail!("a server ended with {status}; see server.log beside {}", data_dir.display());
            }
        }
    }
}

/// Builds the `greenroom` program; cargo shows its own progress.
///
/// # Errors
/// If it does not compile.
pub(crate) fn build_host(workspace: &Workspace, release: bool) -> anyhow::Result<PathBuf> {
    let mut build = cargo();
    build.current_dir(&workspace.root).args(["build", "--locked", "--workspace", "--bin", "greenroom"]);
    let folder = if release { "release" } else { "debug" };
    if release {
        build.arg("--release");
    }
    progress::run(&mut build)?;
    Ok(workspace.target.join(folder).join("greenroom"))
}

fn set_up(server: &Server, plugins: &[String]) -> anyhow::Result<()> {
    let operator = server.token("1", "operator")?;
    let operator = server.caller(&operator);
    let room = json!({ "roomId": ROOM, "title": "Demo", "streamers": [STREAMER] });
    operator.ensure("/v1/rooms", &room)?;
    let plugins: Vec<Value> = plugins.iter().map(|name| json!({ "name": name })).collect();
    let stream = json!({ "plugins": plugins });
    operator.ensure(&format!("/v1/rooms/{ROOM}/streams"), &stream)?;
    let service = server.token("2", "service")?;
    let recharge = json!({
        "eventId": "demo-recharge", "userId": VIEWER, "assetType": 1, "amount": "100000",
        "eventType": "orderApple", "orderId": "demo", "transactionId": "demo",
    });
    server.caller(&service).ensure("/v1/recharges", &recharge)
}

fn explain(server: &Server, program: &Path, data_dir: &Path) -> anyhow::Result<()> {
    let viewer = server.token(VIEWER, "viewer")?;
    let operator = server.token("1", "operator")?;
    let streamer = server.token(STREAMER, "streamer")?;
    let gifts = server.caller(&viewer).call("GET", &format!("/v1/rooms/{ROOM}/gifts"), None)?;
    let gift = first_gift(&gifts).unwrap_or("2002");
    let url = format!("http://{}/v1", server.authority);
    let (program, data_dir) = (program.display(), data_dir.display());
    println!(
        r#"
Room {ROOM} is live. Viewer {VIEWER} has 100,000 coins, streamer {STREAMER} none yet. Paste into another terminal:

VIEWER={viewer}
STREAMER={streamer}
OPERATOR={operator}

# what happens in the room
curl -N -H "Authorization: Bearer $VIEWER" {url}/rooms/{ROOM}/events

# send a gift; the same line again pays nothing and answers "replayed": true
curl -H "Authorization: Bearer $VIEWER" -H 'Content-Type: application/json' \
  -d '{{"eventId":"demo-1","giftId":"{gift}","count":1}}' {url}/rooms/{ROOM}/gifts

# a lottery: the streamer makes it, the viewer enters, and a minute later everybody can compute the draw again
curl -H "Authorization: Bearer $STREAMER" -H 'Content-Type: application/json' \
  -d '{{"eventId":"demo-2","title":"Demo","entry":{{"kind":"free"}},"closesInS":60,"prizes":[{{"name":"a shirt","stock":1}}]}}' \
  {url}/rooms/{ROOM}/lotteries
LOTTERY=          # the lotteryId of the answer
curl -H "Authorization: Bearer $VIEWER" -H 'Content-Type: application/json' \
  -d '{{"eventId":"demo-3"}}' {url}/rooms/{ROOM}/lotteries/$LOTTERY/entries
{program} lottery verify {ROOM} $LOTTERY --data-dir {data_dir}

# both sides
curl -H "Authorization: Bearer $VIEWER" {url}/users/me/assets
curl -H "Authorization: Bearer $OPERATOR" {url}/users/{STREAMER}/assets

# add everything up
{program} reconcile --data-dir {data_dir}

The interface is shown at http://{}/docs. Ctrl-C stops the server."#,
        server.authority
    );
    Ok(())
}

/// The id of the first gift on offer.
fn first_gift(gifts: &Value) -> Option<&str> {
    let list = gifts.as_array().or_else(|| gifts.get("gifts")?.as_array())?;
    list.first()?.get("giftId")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_gift_on_offer_is_found() {
        assert_eq!(first_gift(&json!({ "gifts": [{ "giftId": "2001" }, { "giftId": "2002" }] })), Some("2001"));
        assert_eq!(first_gift(&json!({ "gifts": [] })), None);
    }
}
