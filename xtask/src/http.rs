//! A request to a server on this machine, for the set-up of a demo. One connection each; nothing but JSON.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a server may say that it is not ready, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

/// Where a server is, as `host:port`, and who asks.
pub(crate) struct Caller<'a> {
    pub(crate) authority: &'a str,
    pub(crate) token: &'a str,
}

impl Caller<'_> {
    /// Asks, and gives the JSON of the answer.
    ///
    /// # Errors
    /// If there is no answer, or a refusal.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let (status, text) = self.exchange(method, path, &body).with_context(|| format!("{method} {path}"))?;
        if !(200..300).contains(&status) {
            bail!("{method} {path} was refused with {status}: {text}");
        }
        if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) }
    }

    /// Asks for something to be done until it is, or turns out to have been done before. Servers that have just started may say for a
    /// while that they are not ready for it.
    ///
    /// # Errors
    /// If there is no answer, or a refusal for good.
    pub(crate) fn ensure(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, text) = self.exchange("POST", path, &body.to_string()).with_context(|| path.to_owned())?;
            match status {
                200..300 | 409 => return Ok(()),
                503 if Instant::now() < deadline => std::thread::sleep(PAUSE),
                _ => bail!("POST {path} was refused with {status}: {text}"),
            }
        }
    }

    fn exchange(&self, method: &str, path: &str, body: &str) -> anyhow::Result<(u16, String)> {
        let mut stream = TcpStream::connect(self.authority)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let len = body.len();
        let Self { authority, token } = self;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {len}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        parse(&answer).context("not an answer of HTTP/1.1")
    }
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_cut_into_status_and_body() {
        assert_eq!(parse("HTTP/1.1 402 Payment Required\r\nx: y\r\n\r\n{}"), Some((402, "{}".into())));
        assert_eq!(parse("garbage"), None);
    }
}
