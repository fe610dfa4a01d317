//! A connection that ends when its client does nothing for too long.
//!
//! Two things that hyper does not bound: the first bytes, which tell HTTP/1 from HTTP/2, and a client that takes no bytes. It also
//! gives the connection no delay (Nagle's algorithm off): an answer is written as a whole.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// As many bytes as the preface of HTTP/2 has (RFC 9113, 3.4): by then hyper knows the protocol, and its own times hold.
const OPENING_LEN: usize = 24;

/// A watched connection.
pub(super) struct Watched {
    stream: TcpStream,
    /// Runs until the opening has been read.
    opening: Option<Pin<Box<Sleep>>>,
    opening_left: usize,
    write_timeout: Duration,
    /// Runs while bytes wait to be taken.
    writing: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, opening_timeout: Duration, write_timeout: Duration) -> Self {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection cannot be set to no delay");
        }
        let opening = Some(Box::pin(sleep(opening_timeout)));
        Self { stream, opening, opening_left: OPENING_LEN, write_timeout, writing: None }
    }

    /// Passes on what a write came to, and ends the connection if the client has taken nothing for too long.
    fn written<T>(&mut self, context: &mut Context<'_>, result: Poll<Result<T>>) -> Poll<Result<T>> {
        if result.is_ready() {
            self.writing = None;
            return result;
        }
        let timeout = self.write_timeout;
        let timer = self.writing.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client takes no bytes")))
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(timer) = &mut self.opening else { return result };
        let expired = timer.as_mut().poll(context).is_ready() || timer.deadline() <= Instant::now();
        if result.is_ready() {
            let read = buffer.filled().len().saturating_sub(before);
            self.opening_left = self.opening_left.saturating_sub(read);
            if self.opening_left == 0 {
                self.opening = None;
            }
        }
        if result.is_pending() && expired {
            return Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client sends nothing")));
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.written(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.written(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
