//! The load itself: connections that take the next request that is due, send it, and note the answer.
//!
//! A free connection takes the request that is due next, so a slow answer holds up only its own connection; if all are busy,
//! requests wait, and their waiting is in their latency. Bounded by the plan, by the end of the run and by a time-out a request.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::http1::{self, Connection};
use super::message::{Cast, Verdict, verdict};
use super::outcomes::Outcomes;
use super::pace::Pace;
use super::pacer::{Pacer, Times};
use super::plan::{Gift, Plan, Request};
use super::tally::Tally;
use super::ws::Sockets;

/// A request without an answer for so long has none; its outcome is asked for after the run.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// After a connection that could not be made.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// What all connections share.
pub(super) struct Load {
    pub(super) cast: Cast,
    pub(super) plan: Mutex<Plan>,
    pub(super) pace: Pace,
    pub(super) pacer: Pacer,
    pub(super) outcomes: Outcomes,
    pub(super) duration: Duration,
    /// With them, gifts go over WebSockets and not over HTTP.
    pub(super) sockets: Option<Sockets>,
    /// Stops the run early; what is under way is still answered.
    pub(super) stop: CancellationToken,
}

/// The connections of a run, and what they have measured so far.
pub(super) struct Running {
    tasks: JoinSet<()>,
    tallies: Vec<Arc<Mutex<Tally>>>,
}

impl Running {
    /// Starts `connections` connections, and in an open loop the pacer.
    pub(super) fn start(load: &Arc<Load>, connections: u32) -> Self {
        let start = Instant::now();
        let times = Times { start, end: start + load.duration };
        let mut running = Self { tasks: JoinSet::new(), tallies: Vec::new() };
        for _ in 0..connections {
            let tally = Arc::new(Mutex::new(Tally::new()));
            running.tallies.push(Arc::clone(&tally));
            running.tasks.spawn(work(Arc::clone(load), times, tally));
        }
        if load.pace != Pace::Unlimited {
            let load = Arc::clone(load);
            running.tasks.spawn_blocking(move || load.pacer.run(&load.plan, load.pace, times, &load.stop, connections));
        }
        running
    }

    /// Waits until all are done.
    pub(super) async fn join(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// What was measured so far.
    pub(super) fn tally(&self) -> Tally {
        let mut sum = Tally::new();
        for tally in &self.tallies {
            sum.add(&tally.lock());
        }
        sum
    }
}

async fn work(load: Arc<Load>, times: Times, tally: Arc<Mutex<Tally>>) {
    let mut client = Client::new(&load.cast.authority);
    while let Some(request) = load.next(times).await {
        let due = times.due(load.pace, request);
        let sent = Instant::now();
        let result = match &load.sockets {
            Some(sockets) => sockets.send(&load.cast, &request.gift).await,
            None => client.send(&load.cast, &request.gift).await,
        };
        let done = Instant::now();
        let mut tally = tally.lock();
        if result.is_ok() {
            tally.answered(sent - due, done - due);
        }
        note(&load.outcomes, &mut tally, &request.gift, result);
    }
}

impl Load {
    /// The next request that is due; none at the end.
    async fn next(&self, times: Times) -> Option<Request> {
        if self.stop.is_cancelled() {
            return None;
        }
        match self.pace {
            Pace::Rate(_) => self.pacer.take().await,
            Pace::Unlimited if Instant::now() >= times.end => None,
            Pace::Unlimited => self.plan.lock().next(),
        }
    }
}

fn note(outcomes: &Outcomes, tally: &mut Tally, gift: &Gift, result: Result<Verdict, String>) {
    match result {
        Ok(Verdict::Acknowledged { total, replayed }) => {
            tally.replays += u64::from(replayed);
            outcomes.acknowledge(gift, total, replayed);
        }
        Ok(Verdict::Refused(code)) => {
            tally.error(code);
            outcomes.refuse(gift);
        }
        Ok(Verdict::Unclear(code)) | Err(code) => {
            tally.error(code);
            tally.remember(*gift);
        }
    }
}

/// A server that takes no connection is given a moment.
pub(super) async fn pause() {
    sleep(RECONNECT_PAUSE).await;
}

/// Sends gifts over one connection, which it makes again when it breaks.
pub(super) struct Client<'a> {
    authority: &'a str,
    connection: Option<Connection>,
    request: Vec<u8>,
}

impl<'a> Client<'a> {
    pub(super) fn new(authority: &'a str) -> Self {
        Self { authority, connection: None, request: Vec::with_capacity(1024) }
    }

    /// Sends a gift once.
    ///
    /// # Errors
    /// With a word for what happened to the connection; the gift's outcome is not known then.
    pub(super) async fn send(&mut self, cast: &Cast, gift: &Gift) -> Result<Verdict, String> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => match Connection::open(self.authority).await {
                Ok(connection) => connection,
                Err(_) => {
                    pause().await;
                    return Err("no connection".into());
                }
            },
        };
        cast.write(gift, &mut self.request);
        let verdict = match timeout(ANSWER_TIMEOUT, connection.exchange(&self.request)).await {
            Ok(Ok(answer)) => verdict(answer.status, answer.body),
            Ok(Err(http1::Error::Malformed(what))) => return Err(format!("malformed answer: {what}")),
            Ok(Err(_)) => return Err("connection lost".into()),
            Err(_) => return Err("no answer in time".into()),
        };
        self.connection = connection.is_open().then_some(connection);
        Ok(verdict)
    }
}
