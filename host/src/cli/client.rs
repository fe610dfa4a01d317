//! Talking to a running server.

use std::path::PathBuf;

use anyhow::{Context, bail};
use greenroom::config::Config;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::token;

/// Where the server is, and who asks.
#[derive(clap::Args)]
pub struct ServerArgs {
    /// The server.
    #[arg(long, env = "GREENROOM_SERVER", value_name = "URL")]
    server: Option<String>,
    /// An operator's token; without it one is made from the configured secret, or the data directory's.
    #[arg(long, env = "GREENROOM_TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

impl ServerArgs {
    /// The configuration that these arguments mean.
    pub fn config(&self) -> anyhow::Result<Config> {
        self.config.load()
    }
}

/// Where the configuration and the data are.
#[derive(clap::Args)]
pub struct ConfigArgs {
    /// A configuration file; see `greenroom serve --print-config`.
    #[arg(long, env = "GREENROOM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the server keeps its data.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl ConfigArgs {
    /// The configuration that these arguments mean.
    pub fn load(&self) -> anyhow::Result<Config> {
        let mut config = Config::load(self.config.as_deref(), std::env::vars())?;
        if let Some(data_dir) = &self.data_dir {
            config.data_dir.clone_from(data_dir);
        }
        Ok(config)
    }
}

/// A server and a token for it.
pub struct Client {
    http: reqwest::Client,
    server: String,
    token: String,
}

impl Client {
    /// Finds out where the server is and who asks.
    pub fn new(args: &ServerArgs) -> anyhow::Result<Self> {
        let config = args.config.load()?;
        let token = match &args.token {
            Some(token) => token.clone(),
            None => token::operator(&config).context("no --token is given, and none can be made")?,
        };
        let server = args.server.clone().unwrap_or_else(|| address(&config));
        Ok(Self { http: reqwest::Client::new(), server: server.trim_end_matches('/').into(), token })
    }

    /// Asks, and returns the JSON of the answer; a problem becomes an error in its own words.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let request = self.request(method, path);
        self.send(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    /// Sends bytes of a content type.
    pub async fn upload(&self, path: &str, content_type: &str, body: Vec<u8>) -> anyhow::Result<Value> {
        self.send(self.request(Method::POST, path).header("content-type", content_type).body(body)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.server)).bearer_auth(&self.token)
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let answer = request.send().await.with_context(|| format!("no answer from {}", self.server))?;
        let status = answer.status();
        let text = answer.text().await?;
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? };
        if !status.is_success() {
            let detail = body.get("detail").and_then(Value::as_str).unwrap_or("without a reason");
            bail!("the server refused with {status}: {detail}");
        }
        Ok(body)
    }
}

/// The address that a server on this data directory wrote down, or the configured one.
fn address(config: &Config) -> String {
    greenroom::app::written_address(&config.data_dir).unwrap_or_else(|| format!("http://{}", config.listen))
}

/// Prints JSON for people and programs alike.
pub fn print(value: &Value) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
