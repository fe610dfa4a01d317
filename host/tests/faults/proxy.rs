//! A network between a host and a service that can lose, delay and cut.
//!
//! What is lost here is what a network loses below TCP: bytes stay on their way until it carries again, as if they were sent anew. A cut
//! ends connections. A Kafka broker tells its clients where it is to be reached; in front of one the proxy writes its own port into those
//! answers, so that no client goes past it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;
/// Chunks on their way; then the sender feels that nothing is taken any more.
const UNDER_WAY_MAX: usize = 256;
/// A frame of a broker is far below.
const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    Drop,
    Delay(Duration),
    Cut,
}

/// What is behind the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Bytes are passed as they are.
    Plain,
    /// Answers tell the proxy's port in place of the broker's.
    Kafka,
}

/// One way to one service. It ends with the runtime of the test.
pub struct Proxy {
    address: SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
}

impl Proxy {
    /// In front of a service at `host:port`. It passes everything until it is told otherwise.
    pub async fn open(service: Service, upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mode = Arc::new(watch::Sender::new(Mode::Pass));
        let (upstream, modes) = (upstream.to_owned(), Arc::clone(&mode));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let rename = (service == Service::Kafka).then(|| Rename::new(&upstream, address.port()));
                tokio::spawn(connect(client, upstream.clone(), modes.subscribe(), rename));
            }
        });
        Self { address, mode }
    }

    /// Where clients are to connect.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Carries again what it is given, and what it has kept.
    pub fn pass(&self) {
        self.mode.send_replace(Mode::Pass);
    }

    #[allow(dead_code, reason = "for faults of the network")]
    /// Nothing arrives any more, and nobody is told: connections stay, new ones are taken and never answered.
    pub fn drop_all(&self) {
        self.mode.send_replace(Mode::Drop);
    }

    /// Everything arrives so much later, in each direction.
    pub fn delay(&self, by: Duration) {
        self.mode.send_replace(Mode::Delay(by));
    }

    #[allow(dead_code, reason = "for faults of the network")]
    /// Ends every connection, and ends new ones at once.
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }
}

async fn connect(client: TcpStream, upstream: String, mut mode: watch::Receiver<Mode>, rename: Option<Rename>) {
    let carried = carry(client, &upstream, mode.clone(), rename);
    tokio::select! {
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => {}
        _ = carried => {}
    }
}

async fn carry(
    client: TcpStream,
    upstream: &str,
    mut mode: watch::Receiver<Mode>,
    rename: Option<Rename>,
) -> std::io::Result<()> {
    // A network that carries nothing makes no connection either.
    let _ = mode.wait_for(|mode| *mode != Mode::Drop).await;
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_server, to_server) = server.into_split();
    let (from_client, to_client) = client.into_split();
    tokio::select! {
        ended = one_way(from_client, to_server, mode.clone(), None) => ended,
        ended = one_way(from_server, to_client, mode, rename) => ended,
    }
}

/// Reads as things come, and writes each as late as the network is slow; the order stays.
async fn one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    rename: Option<Rename>,
) -> std::io::Result<()> {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY_MAX);
    // Owns the sender, so that writing ends once what was read is written.
    let reading = async move {
        loop {
            let chunk = match &rename {
                Some(rename) => rename.frame(&mut from).await?,
                None => chunk(&mut from).await?,
            };
            if chunk.is_empty() || sender.send((Instant::now(), chunk)).await.is_err() {
                return std::io::Result::Ok(());
            }
        }
    };
    let writing = async {
        while let Some((read_at, chunk)) = receiver.recv().await {
            loop {
                let now = *mode.borrow_and_update();
                let changed = mode.changed();
                match now {
                    Mode::Drop => drop(changed.await),
                    Mode::Delay(by) if Instant::now() < read_at + by => {
                        let _ = tokio::time::timeout_at(read_at + by, changed).await;
                    }
                    _ => break,
                }
            }
            to.write_all(&chunk).await?;
        }
        Ok(())
    };
    let (read, written) = tokio::join!(reading, writing);
    read.and(written)
}

async fn chunk(from: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; CHUNK];
    let len = from.read(&mut bytes).await?;
    bytes.truncate(len);
    Ok(bytes)
}

/// Another port in a broker's answers, where a host and a port are a text and four bytes after it.
struct Rename {
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Rename {
    fn new(upstream: &str, port: u16) -> Self {
        let (host, old_port) = upstream.rsplit_once(':').unwrap();
        let place = |port: u16| [host.as_bytes(), &u32::from(port).to_be_bytes()].concat();
        Self { old: place(old_port.parse().unwrap()), new: place(port) }
    }

    /// One whole answer.
    async fn frame(&self, from: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
        let len = from.read_u32().await?;
        assert!((len as usize) < FRAME_BYTES_MAX, "this is no broker");
        let mut frame = len.to_be_bytes().to_vec();
        frame.resize(4 + len as usize, 0);
        from.read_exact(&mut frame[4..]).await?;
        for at in 4..frame.len().saturating_sub(self.old.len()) {
            if frame[at..].starts_with(&self.old) {
                frame[at..at + self.new.len()].copy_from_slice(&self.new);
            }
        }
        Ok(frame)
    }
}
