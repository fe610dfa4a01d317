//! A network in front of a broker that can be cut.
//!
//! A broker tells its clients where it is to be reached; the proxy writes its own port into those answers, so that no client goes past it.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes everything on, until it is cut.
pub(crate) struct Proxy {
    address: SocketAddr,
    is_cut: Arc<watch::Sender<bool>>,
}

impl Proxy {
    /// In front of a broker at `host:port`, which it calls itself by, too.
    pub(crate) async fn open(broker: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_cut = Arc::new(watch::Sender::new(false));
        let cut = Arc::clone(&is_cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut cut = cut.subscribe();
                let broker = broker.clone();
                tokio::spawn(async move {
                    let is_cut = *cut.borrow();
                    if !is_cut {
                        tokio::select! {
                            _ = cut.wait_for(|is_cut| *is_cut) => {}
                            _ = pass(client, &broker, address.port()) => {}
                        }
                    }
                });
            }
        });
        Self { address, is_cut }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Ends every connection and takes no others.
    pub(crate) fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    pub(crate) fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn pass(client: TcpStream, broker: &str, port: u16) -> std::io::Result<()> {
    let (from_broker, mut to_broker) = TcpStream::connect(broker).await?.into_split();
    let (mut from_client, to_client) = client.into_split();
    tokio::select! {
        copied = tokio::io::copy(&mut from_client, &mut to_broker) => copied.map(|_| ()),
        answered = answer(from_broker, to_client, broker, port) => answered,
    }
}

/// Passes answers on, one frame at a time: a name and a port in it are a text and four bytes after it.
async fn answer(
    mut from_broker: OwnedReadHalf,
    mut to_client: OwnedWriteHalf,
    broker: &str,
    port: u16,
) -> std::io::Result<()> {
    let (host, broker_port) = broker.rsplit_once(':').unwrap();
    let place = |port: u16| [host.as_bytes(), &u32::from(port).to_be_bytes()].concat();
    let (old, new) = (place(broker_port.parse().unwrap()), place(port));
    loop {
        let len = from_broker.read_u32().await?;
        let mut frame = vec![0; len as usize];
        from_broker.read_exact(&mut frame).await?;
        for at in 0..frame.len().saturating_sub(old.len()) {
            if frame[at..].starts_with(&old) {
                frame[at..at + new.len()].copy_from_slice(&new);
            }
        }
        to_client.write_u32(len).await?;
        to_client.write_all(&frame).await?;
    }
}
