//! Reading a room's event stream.

use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;

use super::support::Client;

/// Messages of a room's event stream.
pub struct Events {
    bytes: futures::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    text: String,
    last_id: String,
}

impl Client {
    /// Opens the room's event stream, from now on or from the message after the last one that was seen.
    pub async fn events(&self, room: i64, last_id: Option<&str>) -> Events {
        let answer = self.stream(&format!("/v1/rooms/{room}/events"), last_id).await;
        assert_eq!(answer.status(), 200);
        Events { bytes: answer.bytes_stream().boxed(), text: String::new(), last_id: String::new() }
    }
}

impl Events {
    /// The id of the last message that was seen.
    pub fn last_id(&self) -> String {
        self.last_id.clone()
    }

    /// The data of the next message with this name; fails after ten seconds.
    pub async fn next_of(&mut self, name: &str) -> Value {
        let found = async {
            loop {
                let (event, data) = self.next().await.expect("the stream ended");
                if event == name {
                    return data;
                }
            }
        };
        let limit = Duration::from_secs(10);
        tokio::time::timeout(limit, found).await.unwrap_or_else(|_| panic!("no {name} within ten seconds"))
    }

    /// The name and the data of the next message; none once the server has gone.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((message, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let value = message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    value.map(|value| value.trim_start().to_owned())
                };
                let (id, event, data) = (field("id"), field("event"), field("data"));
                self.text = rest.to_owned();
                self.last_id = id.unwrap_or(std::mem::take(&mut self.last_id));
                if let Some(event) = event {
                    return Some((event, serde_json::from_str(&data.unwrap()).unwrap()));
                }
            }
            let bytes = self.bytes.next().await?.ok()?;
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}
