//! What is kept of a lottery: in the cache while it goes on, and in the database once it has ended.

use std::time::Duration;

use greenroom_sdk::fair::{Digest, Secret};
use greenroom_sdk::record::{self, Stage};
use greenroom_sdk::{Document, Pot, Problem, Room, Shards, Step, Timer, answer, ledger, stored};

use crate::close;
use crate::draw::Win;
use crate::rules::{Definition, Shares};
use crate::{Alarm, No, Settings, TOPIC};

/// How long the keys of a lottery are kept: longer than it may go on.
pub(crate) const KEPT: Duration = Duration::from_secs(40 * 24 * 60 * 60);

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
    /// The account of its pot; 0 if it moves no coins.
    pub(crate) pot: i64,
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
        account: ledger::Account,
        secret: Secret,
    ) -> Self {
        Self {
            lottery_id,
            maker,
            definition,
            asset_type: account.asset_type,
            pot: account.user_id,
            status: Status::Open,
            opened_at_ms: 0,
            closes_at_ms: None,
            secret,
            closing: None,
            wins: Vec::new(),
            shares: None,
            is_paid: false,
        }
    }

    /// As it is when it opens.
    pub(crate) fn opened(mut self, now_ms: u64) -> Self {
        self.opened_at_ms = now_ms;
        self.closes_at_ms = self.definition.closes_in_s.map(|s| now_ms.saturating_add(u64::from(s) * 1_000));
        self
    }

    /// What its prizes and tickets are paid into.
    pub(crate) fn pot(&self) -> Pot<'_> {
        let account = ledger::Account { user_id: self.pot, asset_type: self.asset_type };
        Pot { topic: TOPIC, thing_id: &self.lottery_id, account }
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

/// In the cache.
pub(crate) fn document(room_id: i64, lottery_id: &str) -> Document<Lottery> {
    Document::new(shard(room_id), format!("lottery/{lottery_id}"), KEPT)
}

/// The shard of everything that is a room's.
pub(crate) fn shard(room_id: i64) -> String {
    format!("room/{room_id}")
}

/// The lottery of that id in a room, wherever it is kept. One that the cache has lost is cancelled: nobody knows who has entered.
pub(crate) fn find(room: &Room<Settings>, lottery_id: &str) -> Result<Option<Lottery>, Problem> {
    let document = document(room.room_id, lottery_id);
    if let Some(lottery) = document.read()? {
        return Ok(Some(lottery));
    }
    match record::find(lottery_id, room.room_id)? {
        None | Some((Stage::Made, _)) => Ok(None),
        // It may have been opened between the two looks.
        Some((Stage::Begun, lottery)) => match document.read()? {
            Some(lottery) => Ok(Some(lottery)),
            None => close::salvage(room, lottery).map(Some),
        },
        Some((Stage::Ended, lottery)) => {
            // With the cache its timer may be lost.
            Alarm::Pay { lottery_id: lottery_id.into(), from: 0 }.ensure_in(room.room_id, Duration::ZERO)?;
            Ok(Some(lottery))
        }
        Some((Stage::Paid, lottery)) => Ok(Some(lottery)),
    }
}

/// The same, or the refusal that there is none.
pub(crate) fn get(room: &Room<Settings>, lottery_id: &str) -> Result<Lottery, Problem> {
    find(room, lottery_id)?.ok_or_else(|| No::NotFound { lottery_id: lottery_id.into() }.into())
}

/// Changes it if it is in one of these states; none if it is in another by now. The change may be made up several times.
pub(crate) fn change(
    room_id: i64,
    lottery_id: &str,
    from: &[Status],
    change: impl Fn(&mut Lottery),
) -> Result<Option<Lottery>, Problem> {
    document(room_id, lottery_id).edit(|found| {
        let found = found.filter(|lottery| from.contains(&lottery.status));
        Ok(found.map(|mut lottery| {
            change(&mut lottery);
            lottery
        }))
    })
}
