//! The pushes that a visitor receives.

use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::Value;

use crate::PATIENCE;

/// The pushes of a room, in their order.
pub struct Watch {
    bytes: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    read: Vec<u8>,
}

impl Watch {
    pub(crate) fn new(answer: reqwest::Response) -> Self {
        Self { bytes: answer.bytes_stream().boxed(), read: Vec::new() }
    }

    /// The data of the next push of this name; others are passed over. Fails after a minute.
    pub async fn next(&mut self, event: &str) -> Value {
        let wanted = async {
            loop {
                let (name, data) = self.message().await;
                if name == event {
                    return serde_json::from_str(&data).unwrap();
                }
            }
        };
        tokio::time::timeout(PATIENCE, wanted).await.unwrap_or_else(|_| panic!("no {event} within {PATIENCE:?}"))
    }

    /// Name and data of the next message; comments that keep the connection open have neither.
    async fn message(&mut self) -> (String, String) {
        loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\n\n") {
                let message: Vec<u8> = self.read.drain(..end + 2).collect();
                let message = String::from_utf8(message).unwrap();
                let field = |name: &str| {
                    let value = message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    value.map(|value| value.trim_start().to_owned()).unwrap_or_default()
                };
                return (field("event"), field("data"));
            }
            let bytes = self.bytes.next().await.expect("the host ended the stream").unwrap();
            self.read.extend_from_slice(&bytes);
        }
    }
}
