//! Telling other processes of what was appended (see `appended`): what comes while an answer of the server is awaited goes out together.
//!
//! Nobody waits for it, and no circuit hears of it: a word that is lost costs its listener a wait.

use std::sync::Arc;
use std::time::Duration;

use super::super::appended::Appended;
use super::super::server::{Link, within};
use super::sender::{command, publish};

/// Tells until it is dropped.
pub(super) async fn tell(link: Link, channel: String, call_timeout: Duration, appended: Arc<Appended>) {
    loop {
        let buckets = appended.some_elsewhere().await;
        let Ok(word) = postcard::to_stdvec(&buckets) else { continue };
        let cmd = command(&link, channel.clone(), word);
        if let Err(error) = within(call_timeout, publish(&link, &cmd)).await {
            tracing::debug!(error, "others are not told of what was appended");
        }
    }
}
