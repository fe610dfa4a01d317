//! The limit of the HTTP path: axum alone, with the same JSON in and out and no work between, in this process on loopback.
//!
//! Whatever a server's figure is, this one, measured by the same generator on the same machine, says how much of it is the
//! machine and the generator.

use std::net::SocketAddr;

use axum::extract::Path;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A server that only answers. Stops when it is told to.
pub struct Bare {
    /// Where it listens.
    pub address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Gift {
    event_id: String,
    gift_id: String,
    count: u32,
    #[serde(rename = "comboId")]
    _combo_id: Option<String>,
    #[serde(rename = "comboEnd")]
    _combo_end: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    event_id: String,
    gift_id: String,
    count: u32,
    asset_type: u32,
    total: &'static str,
    balance: &'static str,
    combo_count: u32,
    replayed: bool,
}

impl Bare {
    /// Answers gifts, on a free port of loopback.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start() -> std::io::Result<Self> {
        Self::serve(Router::new().route("/v1/rooms/{room}/gifts", post(answer))).await
    }

    /// Answers as these routes do, on a free port of loopback.
    ///
    /// # Errors
    /// If there is none.
    pub async fn serve(router: Router) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let server = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        Ok(Self { address, stop, task: tokio::spawn(async move { server.await }) })
    }

    /// Stops it and waits for its end.
    pub async fn stop(self) {
        self.stop.cancel();
        // Whatever it ended with, the figures are in.
        let _ = self.task.await;
    }
}

/// Always replayed: it remembers nothing, so it may not claim to have seen a gift for the first time.
async fn answer(Path(_room): Path<String>, Json(gift): Json<Gift>) -> Json<Receipt> {
    Json(Receipt {
        event_id: gift.event_id,
        gift_id: gift.gift_id,
        count: gift.count,
        asset_type: 1,
        total: "10",
        balance: "990",
        combo_count: 1,
        replayed: true,
    })
}
