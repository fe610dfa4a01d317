//! What is kept of a lottery: in the cache while it goes on, and in the database once it has ended.

use std::time::Duration;

use greenroom_sdk::fair::{Digest, Secret};
use greenroom_sdk::{Problem, Room, Shards, Step, answer, cache, db, read_json, stored};

use crate::draw::Win;
use crate::rules::{Definition, Shares};
use crate::{No, Settings};

/// How long the keys of a lottery are kept: longer than it may go on.
pub(crate) const KEPT: Duration = Duration::from_secs(40 * 24 * 60 * 60);
/// How often a change is tried again because somebody else changed the same at the same time.
const TRIES: usize = 5;

/// How far it is.
#[derive(Copy, Eq)]
#[stored]
pub(crate) enum Status {
    Open,
    Closed,
    Drawn,
    Cancelled,
}

/// All of it. `secret` is for nobody to see before the draw: clients get a [`View`].
#[stored]
pub(crate) struct Lottery {
    pub(crate) lottery_id: String,
    /// Who made it, and gets back what is left of the prizes.
    pub(crate) maker: i64,
    pub(crate) definition: Definition,
    /// The currency of its prizes and tickets, whatever the configuration says later.
    pub(crate) asset_type: u32,
    pub(crate) status: Status,
    pub(crate) opened_at_ms: u64,
    pub(crate) closes_at_ms: Option<u64>,
    secret: Secret,
    pub(crate) closing: Option<Closing>,
    pub(crate) wins: Vec<Win>,
    /// Who gets the tickets, as it was at the draw.
    pub(crate) shares: Option<Shares>,
    /// All that the pot had is paid.
    pub(crate) is_paid: bool,
}

/// The list, once entering is over.
#[derive(Copy, Eq)]
#[stored]
pub(crate) struct Closing {
    pub(crate) digest: Digest,
    pub(crate) entrants: u64,
    pub(crate) chances: i64,
    pub(crate) draws_at_ms: u64,
}

/// What everybody may see.
#[answer]
pub(crate) struct View {
    lottery_id: String,
    status: Status,
    definition: Definition,
    opened_at_ms: u64,
    closes_at_ms: Option<u64>,
    /// SHA-256 of the secret.
    commitment: Digest,
    /// The list, once entering is over.
    closing: Option<Closing>,
    /// What the draw was made from, once it was made.
    secret: Option<Secret>,
    wins: Vec<Win>,
    /// Whether all coins have been paid or given back.
    is_paid: bool,
}

impl Lottery {
    pub(crate) fn new(
        lottery_id: String,
        maker: i64,
        definition: Definition,
        asset_type: u32,
        now_ms: u64,
        secret: Secret,
    ) -> Self {
        let closes_at_ms = definition.closes_in_s.map(|s| now_ms.saturating_add(u64::from(s) * 1_000));
        Self {
            lottery_id,
            maker,
            definition,
            asset_type,
            status: Status::Open,
            opened_at_ms: now_ms,
            closes_at_ms,
            secret,
            closing: None,
            wins: Vec::new(),
            shares: None,
            is_paid: false,
        }
    }

    /// To be drawn from, and for nothing else.
    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(crate) fn view(&self) -> View {
        View {
            lottery_id: self.lottery_id.clone(),
            status: self.status,
            definition: self.definition.clone(),
            opened_at_ms: self.opened_at_ms,
            closes_at_ms: self.closes_at_ms,
            commitment: self.secret.commitment(),
            closing: self.closing,
            secret: (self.status == Status::Drawn).then_some(self.secret),
            wins: self.wins.clone(),
            is_paid: self.is_paid,
        }
    }

    /// Where its entrants are.
    pub(crate) fn shards(&self) -> Shards {
        Shards::of_thing(format!("lottery/{}", self.lottery_id))
    }

    /// A step of an entrant. Where the chances of all are bounded, all of them are counted in one shard.
    pub(crate) fn step(&self, user_id: i64) -> Step {
        let place = if self.definition.chances_max.is_some() { 0 } else { user_id };
        self.shards().step(place).lasting(KEPT)
    }

    /// The shard in which an entrant is.
    pub(crate) fn shard(&self, user_id: i64) -> String {
        self.shards().of(if self.definition.chances_max.is_some() { 0 } else { user_id })
    }

    /// Whether somebody may enter at that time.
    pub(crate) fn is_open_at(&self, ms: u64) -> bool {
        self.status == Status::Open && ms >= self.opened_at_ms && self.closes_at_ms.is_none_or(|end| ms < end)
    }

    pub(crate) fn word(&self) -> String {
        match self.status {
            Status::Open => "closing",
            Status::Closed => "closed",
            Status::Drawn => "drawn",
            Status::Cancelled => "cancelled",
        }
        .into()
    }
}

/// The name of its pot.
pub(crate) fn pot(lottery_id: &str) -> String {
    format!("lottery/{lottery_id}")
}

pub(crate) fn shard(room_id: i64) -> String {
    format!("room/{room_id}")
}

pub(crate) fn key(lottery_id: &str) -> String {
    format!("lottery/{lottery_id}")
}

/// The lottery of that id in a room, wherever it is kept.
pub(crate) fn find(room: &Room<Settings>, lottery_id: &str) -> Result<Option<Lottery>, Problem> {
    if let Some((_, lottery)) = cached(room.room_id, lottery_id)? {
        return Ok(Some(lottery));
    }
    let key = [db::Value::Text(lottery_id.into()), db::Value::Integer(room.room_id)];
    match db::query("find-lottery", &key)?.first().map(Vec::as_slice) {
        Some([db::Value::Text(record)]) => parsed(record.as_bytes()).map(Some),
        _ => Ok(None),
    }
}

/// The same, or the refusal that there is none.
pub(crate) fn get(room: &Room<Settings>, lottery_id: &str) -> Result<Lottery, Problem> {
    find(room, lottery_id)?.ok_or_else(|| No::NotFound { lottery_id: lottery_id.into() }.into())
}

/// As the cache has it, with its bytes.
fn cached(room_id: i64, lottery_id: &str) -> Result<Option<(Vec<u8>, Lottery)>, Problem> {
    let Some(bytes) = cache::get(&shard(room_id), &key(lottery_id))? else { return Ok(None) };
    let lottery = parsed(&bytes)?;
    Ok(Some((bytes, lottery)))
}

fn parsed(bytes: &[u8]) -> Result<Lottery, Problem> {
    read_json(bytes).map_err(|e| Problem::failed(format!("a lottery: {e}")))
}

/// Changes it if it is in one of these states; none if it is in another by now. The change may be made up several times.
pub(crate) fn change(
    room_id: i64,
    lottery_id: &str,
    from: &[Status],
    change: impl Fn(&mut Lottery),
) -> Result<Option<Lottery>, Problem> {
    for _ in 0..TRIES {
        let found = cached(room_id, lottery_id)?.filter(|(_, lottery)| from.contains(&lottery.status));
        let Some((bytes, mut lottery)) = found else { return Ok(None) };
        change(&mut lottery);
        let step = Step::in_shard(shard(room_id)).lasting(KEPT).expect(key(lottery_id), Some(bytes));
        if step.put(key(lottery_id), &lottery, None)?.commit()?.is_ok() {
            return Ok(Some(lottery));
        }
    }
    Err(Problem::overloaded("the lottery is being changed by somebody else; try again"))
}

/// Keeps an ended lottery in the database. May be repeated; the first record stays.
pub(crate) fn record(room_id: i64, lottery: &Lottery, now_ms: u64) -> Result<(), Problem> {
    let record = serde_json::to_string(lottery).map_err(|e| Problem::failed(format!("a lottery: {e}")))?;
    let now = i64::try_from(now_ms).unwrap_or(i64::MAX);
    let params = [
        db::Value::Text(lottery.lottery_id.clone()),
        db::Value::Integer(room_id),
        db::Value::Integer(now),
        db::Value::Text(record),
    ];
    let step = db::Step { statement: "put-lottery".into(), params: params.to_vec(), expected_rows: None };
    db::transact(&[step])?;
    Ok(())
}
