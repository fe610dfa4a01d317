//! `greenroom room`: rooms, streams and their plugins, over HTTP.

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{self, Client, print};

#[derive(Subcommand)]
pub enum Command {
    /// Makes a room.
    Create {
        /// Its id; made by the server if left out.
        #[arg(long)]
        id: Option<i64>,
        /// Its title.
        #[arg(long)]
        title: String,
        /// A streamer's user id; may be given several times.
        #[arg(long = "streamer", required = true)]
        streamers: Vec<i64>,
        #[command(flatten)]
        client: client::ServerArgs,
    },
    /// Lists the rooms.
    List {
        #[command(flatten)]
        client: client::ServerArgs,
    },
    /// Starts a stream.
    Start {
        /// The room.
        room: i64,
        /// A plugin, with its configuration as JSON if it needs one: `gift` or `gift={"maxCount":10}`.
        #[arg(long = "plugin", value_name = "NAME[=CONFIG]", value_parser = plugin)]
        plugins: Vec<Value>,
        #[command(flatten)]
        client: client::ServerArgs,
    },
    /// Ends the stream.
    End {
        /// The room.
        room: i64,
        #[command(flatten)]
        client: client::ServerArgs,
    },
    /// Shows the room's plugins.
    Plugins {
        /// The room.
        room: i64,
        #[command(flatten)]
        client: client::ServerArgs,
    },
    /// Turns a plugin on or off, re-configures, upgrades or rolls it back, while the room is live.
    Set {
        /// The room.
        room: i64,
        /// The plugin.
        plugin: String,
        /// Whether it is enabled.
        #[arg(long, action = clap::ArgAction::Set, default_value_t = true)]
        enabled: bool,
        /// Another version.
        #[arg(long, id = "plugin-version")]
        version: Option<semver::Version>,
        /// Another configuration, as JSON.
        #[arg(long, value_name = "JSON", value_parser = json_value)]
        plugin_config: Option<Value>,
        #[command(flatten)]
        client: client::ServerArgs,
    },
    /// Shows who changed what.
    Audit {
        /// The room.
        room: i64,
        #[command(flatten)]
        client: client::ServerArgs,
    },
}

fn json_value(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))
}

fn plugin(text: &str) -> Result<Value, String> {
    match text.split_once('=') {
        Some((name, config)) => Ok(json!({ "name": name, "config": json_value(config)? })),
        None => Ok(json!({ "name": text })),
    }
}

/// Runs a command.
pub async fn run(command: Command) -> anyhow::Result<()> {
    let (client, method, path, body) = match command {
        Command::Create { id, title, streamers, client } => {
            let mut body = json!({ "title": title, "streamers": streamers });
            if let (Some(id), Some(object)) = (id, body.as_object_mut()) {
                object.insert("roomId".into(), id.into());
            }
            (client, Method::POST, "/v1/rooms".to_owned(), Some(body))
        }
        Command::List { client } => (client, Method::GET, "/v1/rooms".to_owned(), None),
        Command::Start { room, plugins, client } => {
            (client, Method::POST, format!("/v1/rooms/{room}/streams"), Some(json!({ "plugins": plugins })))
        }
        Command::End { room, client } => (client, Method::DELETE, format!("/v1/rooms/{room}/streams/current"), None),
        Command::Plugins { room, client } => (client, Method::GET, format!("/v1/rooms/{room}/plugins"), None),
        Command::Set { room, plugin, enabled, version, plugin_config, client } => {
            let mut body = serde_json::Map::new();
            body.insert("enabled".into(), enabled.into());
            body.extend(version.map(|version| ("version".into(), version.to_string().into())));
            body.extend(plugin_config.map(|config| ("config".into(), config)));
            (client, Method::PUT, format!("/v1/rooms/{room}/plugins/{plugin}"), Some(Value::Object(body)))
        }
        Command::Audit { room, client } => (client, Method::GET, format!("/v1/rooms/{room}/audit"), None),
    };
    print(&Client::new(&client)?.call(method, &path, body).await?)
}
