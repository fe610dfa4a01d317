//! The push bus: a fixed number of channels, to one of which each room belongs. Step 10 of the way of a gift.
//!
//! An empty message on the first channel is an announcement that something was changed. A channel of its own carries the word of what was
//! appended to outboxes: see `appended`.
//!
//! On one server these are plain channels, in Redis Cluster sharded ones, so that the nodes share them. Every process hears all of
//! them, its own messages too. After a connection is lost it subscribes again; what was published meanwhile is lost, and a
//! failover may deliver a message twice, which its key tells. Bound: `push_capacity` for what waits for the hub: beyond it
//! publishing here waits, and at sixteen times as much the messages of others are dropped and counted.

mod sender;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use redis::cluster_async::ClusterConnection;
use redis::{ProtocolVersion, PushInfo, PushKind, RedisError, Value};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use self::sender::{Parcel, Sender};
use super::super::embedded::stable_hash;
use super::super::guard::Guard;
use super::Settings;
use super::appended::Appended;
use super::server::{self, Link, within};
use crate::domain::{PushMessage, RoomId};
use crate::ports::push_bus::{PushBus, Unavailable};

/// Messages of other processes that may wait, in multiples of what may wait of one's own.
const OTHERS_FACTOR: usize = 16;
/// How often to subscribe anew in a cluster, which changes nothing where the subscription stands.
const SUBSCRIBE_INTERVAL: Duration = Duration::from_secs(5);
/// Between two tries.
const SUBSCRIBE_PAUSE: Duration = Duration::from_millis(50);

/// Carries pushes between processes.
pub struct RedisPushBus {
    line: mpsc::Sender<Parcel>,
    prefix: String,
    channels: u32,
    inbox: Arc<Inbox>,
    /// What has arrived and waits for the hub, until somebody subscribes.
    arrived: Mutex<Option<mpsc::Receiver<PushMessage>>>,
    /// What runs until this is dropped.
    tasks: Mutex<Vec<JoinHandle<()>>>,
    capacity: usize,
}

/// Where the connections leave what arrives. They must not wait.
struct Inbox {
    /// The channel of `appended`.
    appended_channel: String,
    appended: Arc<Appended>,
    sender: mpsc::Sender<PushMessage>,
    /// How many wait.
    waiting: watch::Sender<usize>,
    is_heard: AtomicBool,
    lost: AtomicU64,
    /// Told when a node hears us no more.
    cut: Notify,
    announced: watch::Sender<()>,
}

impl std::fmt::Debug for RedisPushBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisPushBus").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Inbox {
    /// Takes what a connection has received.
    fn take(&self, info: PushInfo) {
        if matches!(info.kind, PushKind::Disconnection | PushKind::SUnsubscribe) {
            self.cut.notify_one();
            // Announcements may be lost now.
            self.announced.send_replace(());
        }
        if !matches!(info.kind, PushKind::Message | PushKind::SMessage) {
            return;
        }
        let mut data = info.data.into_iter();
        let (Some(Value::BulkString(channel)), Some(Value::BulkString(bytes))) = (data.next(), data.next()) else {
            return;
        };
        if channel == self.appended_channel.as_bytes() {
            match postcard::from_bytes::<Vec<u32>>(&bytes) {
                Ok(buckets) => self.appended.heard(&buckets),
                Err(error) => tracing::warn!(%error, "what was appended cannot be read"),
            }
            return;
        }
        if bytes.is_empty() {
            self.announced.send_replace(());
            return;
        }
        if !self.is_heard.load(Ordering::Acquire) {
            return;
        }
        let messages: Vec<PushMessage> = match postcard::from_bytes(&bytes) {
            Ok(messages) => messages,
            Err(error) => {
                tracing::warn!(%error, "a push cannot be read");
                return;
            }
        };
        for message in messages {
            // Counted first, so that whoever takes it out finds it counted.
            self.waiting.send_modify(|waiting| *waiting += 1);
            if self.sender.try_send(message).is_err() {
                self.waiting.send_modify(|waiting| *waiting -= 1);
                let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
                if lost.is_power_of_two() {
                    tracing::warn!(lost, "pushes are lost: the hub does not keep up");
                }
            }
        }
    }
}

impl RedisPushBus {
    pub(super) async fn open(
        settings: &Settings,
        guard: &Arc<Guard>,
        appended: &Arc<Appended>,
    ) -> Result<Self, String> {
        let capacity = settings.push_capacity.max(1);
        let (sender, arrived) = mpsc::channel(capacity.saturating_mul(OTHERS_FACTOR).min(1 << 24));
        let inbox = Arc::new(Inbox {
            appended_channel: appended_name(&settings.prefix),
            appended: Arc::clone(appended),
            sender,
            waiting: watch::Sender::new(0),
            is_heard: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            cut: Notify::new(),
            announced: watch::Sender::new(()),
        });
        let channels = (0..settings.channels).map(|channel| name(&settings.prefix, channel));
        let names: Vec<String> = channels.chain([appended_name(&settings.prefix)]).collect();
        let link = within(settings.connect_timeout, connect(settings, Arc::clone(&inbox), &names)).await?;
        let mut tasks = match &link {
            Link::Single(_) => Vec::new(),
            Link::Cluster(link) => vec![tokio::spawn(stay_subscribed(link.clone(), Arc::clone(&inbox), names))],
        };
        let (call_timeout, channel) = (settings.call_timeout, appended_name(&settings.prefix));
        tasks.push(tokio::spawn(words::tell(link.clone(), channel, call_timeout, Arc::clone(appended))));
        let (line, waiting) = sender::line();
        let sender = Sender { link, guard: Arc::clone(guard), prefix: settings.prefix.clone(), call_timeout };
        tasks.push(tokio::spawn(sender.run(waiting)));
        Ok(Self {
            line,
            prefix: settings.prefix.clone(),
            channels: settings.channels.max(1),
            inbox,
            arrived: Mutex::new(Some(arrived)),
            tasks: Mutex::new(tasks),
            capacity,
        })
    }

    /// Messages that were lost because the hub of this process did not keep up.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.inbox.lost.load(Ordering::Relaxed)
    }

    fn channel_of(&self, room: RoomId) -> u32 {
        // The remainder is below a number of 32 bits.
        (stable_hash(&room.0.to_le_bytes()) % u64::from(self.channels)) as u32
    }

    /// To the sender; returns when it has sent it.
    async fn hand_over(&self, messages: BTreeMap<u32, Vec<PushMessage>>, announces: bool) -> Result<(), Unavailable> {
        let stopped = || Unavailable("the push bus has stopped".into());
        let (sent, answer) = oneshot::channel();
        self.line.send(Parcel { messages, announces, sent }).await.map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

fn name(prefix: &str, channel: u32) -> String {
    format!("{prefix}:push:{channel}")
}

fn appended_name(prefix: &str) -> String {
    format!("{prefix}:appended")
}

/// Subscribes again when a node was lost or a channel has moved, and now and then without knowing why. The cluster's client tries,
/// too, but asks a node for all its channels at once, which the server refuses when they lie in different slots.
async fn stay_subscribed(mut link: ClusterConnection, inbox: Arc<Inbox>, names: Vec<String>) {
    loop {
        let _ = tokio::time::timeout(SUBSCRIBE_INTERVAL, inbox.cut.notified()).await;
        for name in &names {
            while let Err(error) = link.ssubscribe(name).await {
                tracing::debug!(%error, name, "no subscription yet");
                tokio::time::sleep(SUBSCRIBE_PAUSE).await;
            }
        }
    }
}

/// One connection to each server hears and tells.
async fn connect(settings: &Settings, inbox: Arc<Inbox>, names: &[String]) -> Result<Link, RedisError> {
    let heard = move |info: PushInfo| {
        inbox.take(info);
        Ok::<(), RedisError>(())
    };
    if settings.is_cluster {
        let client =
            server::cluster(settings, |builder| builder.use_protocol(ProtocolVersion::RESP3).push_sender(heard))?;
        let mut link = client.get_async_connection().await?;
        for name in names {
            link.ssubscribe(name).await?;
        }
        return Ok(Link::Cluster(link));
    }
    // Who only hears has no next call to begin anew with.
    let config = server::reconnecting(settings, usize::MAX).set_push_sender(heard).set_automatic_resubscription();
    let client = server::single(settings, ProtocolVersion::RESP3)?;
    let mut link = client.get_connection_manager_with_config(config).await?;
    link.subscribe(names).await?;
    Ok(Link::Single(link))
}

#[async_trait]
impl PushBus for RedisPushBus {
    async fn publish(&self, messages: Vec<PushMessage>) -> Result<(), Unavailable> {
        let mut waiting = self.inbox.waiting.subscribe();
        if waiting.wait_for(|waiting| *waiting < self.capacity).await.is_err() {
            return Err(Unavailable("the push hub has stopped".into()));
        }
        let mut by_channel: BTreeMap<u32, Vec<PushMessage>> = BTreeMap::new();
        for message in messages {
            by_channel.entry(self.channel_of(message.room_id)).or_default().push(message);
        }
        self.hand_over(by_channel, false).await
    }

    fn subscribe(&self) -> mpsc::Receiver<PushMessage> {
        let (hub, receiver) = mpsc::channel(self.capacity);
        let Some(mut arrived) = self.arrived.lock().take() else { return receiver };
        self.inbox.is_heard.store(true, Ordering::Release);
        let inbox = Arc::clone(&self.inbox);
        let forward = async move {
            while let Some(message) = arrived.recv().await {
                if hub.send(message).await.is_err() {
                    break;
                }
                inbox.waiting.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
            }
            inbox.is_heard.store(false, Ordering::Release);
            inbox.waiting.send_replace(0);
        };
        self.tasks.lock().push(tokio::spawn(forward));
        receiver
    }

    async fn announce(&self) -> Result<(), Unavailable> {
        self.hand_over(BTreeMap::new(), true).await
    }

    fn announced(&self) -> watch::Receiver<()> {
        self.inbox.announced.subscribe()
    }
}

impl Drop for RedisPushBus {
    fn drop(&mut self) {
        self.tasks.lock().iter().for_each(JoinHandle::abort);
    }
}
