//! An HTTP/1.1 client of one connection, as cheap as it can be: the generator shares its processors with the server.
//!
//! One request at a time, keep-alive, bodies with a `content-length` only. The caller writes the request's bytes. Not for
//! anything but generators of load, this one and those of `host/benches`. Bounded: an answer has a megabyte at most.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer, head and body.
const ANSWER_LEN_MAX: usize = 1 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection broke, or could not be made.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The other side closed the connection before it answered.
    #[error("the server closed the connection")]
    Closed,
    /// The answer is not what this client understands.
    #[error("not an answer this client understands: {0}")]
    Malformed(&'static str),
}

/// An answer's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    status: u16,
    len: usize,
    body_len: usize,
    closes: bool,
}

/// An answer.
#[derive(Debug)]
pub struct Answer<'a> {
    /// HTTP status.
    pub status: u16,
    /// As long as its head said.
    pub body: &'a [u8],
}

/// A connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The server said that it closes after its last answer.
    closing: bool,
}

impl Connection {
    /// To `host:port`.
    ///
    /// # Errors
    /// If it cannot be made.
    pub async fn open(authority: &str) -> Result<Self, Error> {
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096), closing: false })
    }

    /// Whether another request may be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.closing
    }

    /// Sends a request and waits for its answer. Not cancel safe: drop the connection with the future.
    ///
    /// # Errors
    /// If the connection broke; whether the request took effect is not known then.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>, Error> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        loop {
            if let Some(head) = head(&self.buffer)? {
                self.fill(head.len + head.body_len).await?;
                self.closing = head.closes;
                let body = self.buffer.get(head.len..head.len + head.body_len).unwrap_or_default();
                return Ok(Answer { status: head.status, body });
            }
            self.read().await?;
        }
    }

    async fn fill(&mut self, len: usize) -> Result<(), Error> {
        if len > ANSWER_LEN_MAX {
            return Err(Error::Malformed("longer than a megabyte"));
        }
        while self.buffer.len() < len {
            self.read().await?;
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Error> {
        if self.buffer.len() >= ANSWER_LEN_MAX {
            return Err(Error::Malformed("longer than a megabyte"));
        }
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(Error::Closed),
            _ => Ok(()),
        }
    }
}

/// The head, once it is there in whole.
fn head(bytes: &[u8]) -> Result<Option<Head>, Error> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = bytes.get(..end).and_then(|head| std::str::from_utf8(head).ok());
    let mut lines = text.ok_or(Error::Malformed("a head that is not text"))?.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).and_then(|line| line.get(..3));
    let status: u16 = status.and_then(|s| s.parse().ok()).ok_or(Error::Malformed("no status line of HTTP/1.1"))?;
    let (mut body_len, mut closes) = ((status == 204).then_some(0), false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            body_len = value.trim().parse().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.trim().eq_ignore_ascii_case("close");
        }
    }
    let body_len = body_len.ok_or(Error::Malformed("a body without a content-length"))?;
    Ok(Some(Head { status, len: end + 4, body_len, closes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let answer = b"HTTP/1.1 402 Payment Required\r\nContent-Length: 17\r\nx: y\r\n\r\n{\"errCode\":20001}";
        for part in 0..58 {
            assert_eq!(head(&answer[..part]).unwrap(), None, "{part}");
        }
        let expected = Head { status: 402, len: answer.len() - 17, body_len: 17, closes: false };
        assert_eq!(head(answer).unwrap(), Some(expected));
    }

    #[test]
    fn an_answer_without_a_length_is_refused_unless_it_has_no_body() {
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(head(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap().unwrap().closes);
    }

    #[tokio::test]
    async fn answers_come_in_order_over_one_connection_however_they_are_cut() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for body in ["one", "two"] {
                let mut request = [0; 5];
                stream.read_exact(&mut request).await.unwrap();
                assert_eq!(&request, b"hello");
                for byte in format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{body}").bytes() {
                    stream.write_all(&[byte]).await.unwrap();
                    stream.flush().await.unwrap();
                }
            }
        });
        let mut connection = Connection::open(&address).await.unwrap();
        assert_eq!(connection.exchange(b"hello").await.unwrap().body, b"one");
        assert_eq!(connection.exchange(b"hello").await.unwrap().body, b"two");
        server.await.unwrap();
        assert!(matches!(connection.exchange(b"hello").await, Err(Error::Closed | Error::Io(_))));
    }
}
