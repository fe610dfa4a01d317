//! A packet in the cache: all of it is in one shard, so a grab is one atomic step, and the close ends all of them at once.
//!
//! Keys of the shard: `sealed`, the [`Sealed`] packet, written once, and with it `open`, without which nobody comes; `grabs`, the ranking that numbers
//! who came; `closed`, which takes the place of `open`; `outcome`, once all is paid. They vanish a week after the close; what is to be known
//! later is in `table`. An instance may remember a packet that the cache has lost: without `open` it numbers nobody anew.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use greenroom_sdk::{Amount, Id, Now, Problem, Step, Stopped, cache, read_json, stored};

use crate::definition::{Definition, Outcome, PacketId, Sealed, Share};
use crate::refusal::No;
use crate::shares;

const SEALED: &str = "sealed";
const OPEN: &str = "open";
const GRABS: &str = "grabs";
const CLOSED: &str = "closed";
const OUTCOME: &str = "outcome";

/// How long a packet stays in the cache after it was to close. Within it a close that could not be made is made up for.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Packets that an instance remembers, each of at most 80 KB.
const REMEMBERED_MAX: usize = 32;

/// A packet with its shares, which are computed once by each instance.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) sealed: Sealed,
    shares: Vec<Amount>,
}

/// When a packet was closed.
#[stored]
struct Closed {
    at_ms: u64,
}

thread_local! {
    /// A sealed packet never changes, so it need not be read again.
    static REMEMBERED: RefCell<BTreeMap<PacketId, Rc<Packet>>> = const { RefCell::new(BTreeMap::new()) };
}

/// What became of somebody who wants to be numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    /// The number, also of who has come before.
    Number(u32),
    Full,
    Closed,
}

/// The packet, if the cache has it or this instance remembers it.
pub(crate) fn find(packet_id: &PacketId) -> Result<Option<Rc<Packet>>, Problem> {
    let known = remembered(packet_id);
    if known.is_some() { Ok(known) } else { read_again(packet_id) }
}

/// The packet, if the cache has it now.
pub(crate) fn read_again(packet_id: &PacketId) -> Result<Option<Rc<Packet>>, Problem> {
    let Some(sealed) = read::<Sealed>(packet_id, SEALED)? else { return Ok(None) };
    if let Some(known) = remembered(packet_id).filter(|known| known.sealed == sealed) {
        return Ok(Some(known));
    }
    let packet = Rc::new(Packet::new(sealed));
    REMEMBERED.with_borrow_mut(|packets| {
        if packets.len() >= REMEMBERED_MAX {
            packets.clear();
        }
        packets.insert(packet_id.clone(), Rc::clone(&packet));
    });
    Ok(Some(packet))
}

fn remembered(packet_id: &PacketId) -> Option<Rc<Packet>> {
    REMEMBERED.with_borrow(|packets| packets.get(packet_id).cloned())
}

/// The packet of that room.
///
/// # Errors
/// 404 if there is none in the cache.
pub(crate) fn of_room(packet_id: &PacketId, room_id: i64) -> Result<Rc<Packet>, Problem> {
    let packet = find(packet_id)?.filter(|packet| packet.definition().room_id.get() == room_id);
    packet.ok_or_else(|| No::NotFound.into())
}

/// Seals a packet unless one of its id is sealed.
pub(crate) fn seal(sealed: &Sealed) -> Result<(), Problem> {
    let Definition { packet_id, .. } = &sealed.definition;
    let step = Step::in_shard(shard(packet_id)).lasting(lifetime(&sealed.definition)).absent(SEALED);
    // Whoever was first has sealed it, and the caller reads that one.
    let _ = step.put(SEALED, sealed, None)?.put(OPEN, &true, None)?.commit()?;
    Ok(())
}

impl Packet {
    pub(crate) fn new(sealed: Sealed) -> Self {
        Self { shares: shares::of(&sealed.definition, &sealed.secret), sealed }
    }

    pub(crate) fn definition(&self) -> &Definition {
        &self.sealed.definition
    }

    fn packet_id(&self) -> &PacketId {
        &self.definition().packet_id
    }

    /// What share number n is worth.
    pub(crate) fn share(&self, number: u32) -> Result<Amount, Problem> {
        let index = (number as usize).checked_sub(1);
        let share = index.and_then(|index| self.shares.get(index)).copied();
        share.ok_or_else(|| Problem::failed(format!("packet {} has no share {number}", self.packet_id())))
    }

    /// How many shares were paid if so much is left.
    pub(crate) fn grabbed_of(&self, left: Amount) -> u32 {
        let mut paid = self.definition().amount.get().saturating_sub(left.get());
        let mut grabbed = 0;
        for share in &self.shares {
            paid = paid.saturating_sub(share.get());
            if paid < 0 {
                break;
            }
            grabbed += 1;
        }
        grabbed
    }

    /// Numbers somebody: one atomic step, that is stopped once the packet is closed.
    pub(crate) fn enter(&self, user_id: i64) -> Result<Entered, Problem> {
        let step = Step::in_shard(shard(self.packet_id())).lasting(lifetime(self.definition()));
        let step = step.expect(OPEN, Some(b"true".to_vec()));
        let made = step.enter(GRABS, user_id.to_string(), Some(self.definition().shares)).commit()?;
        match made {
            Ok(numbers) => Ok(Entered::Number(number(numbers.first().copied())?)),
            Err(Stopped::Limit(_)) => Ok(Entered::Full),
            Err(Stopped::Check(_)) => Ok(Entered::Closed),
        }
    }

    /// The number of somebody who has come before.
    pub(crate) fn entered(&self, user_id: i64) -> Result<Option<u32>, Problem> {
        let ranked = cache::rank(&shard(self.packet_id()), GRABS, &user_id.to_string())?;
        ranked.map(|ranked| number(Some(ranked.score))).transpose()
    }

    /// How many have come.
    pub(crate) fn grabbed(&self) -> Result<u32, Problem> {
        let last = cache::top(&shard(self.packet_id()), GRABS, 0, 1)?;
        last.first().map_or(Ok(0), |last| number(Some(last.score)))
    }

    /// Who came up to that number, the last one first; at most `limit` (1,000 or fewer). Numbers have no gaps.
    pub(crate) fn grabs(&self, up_to: u32, limit: u32) -> Result<Vec<Share>, Problem> {
        let grabbed = self.grabbed()?;
        let offset = grabbed.saturating_sub(up_to);
        let ranked = cache::top(&shard(self.packet_id()), GRABS, offset, limit)?;
        let mut shares = Vec::with_capacity(ranked.len());
        for one in ranked {
            let number = number(Some(one.score))?;
            let user_id = Id::parse(&one.member).ok_or_else(|| Problem::failed("a grab is by no user"))?;
            // Who has come between the two calls moves the others on.
            if number <= up_to {
                shares.push(Share { number, user_id, amount: self.share(number)? });
            }
        }
        Ok(shares)
    }

    /// The greatest of the first so many shares; of equal ones the first.
    pub(crate) fn best(&self, grabbed: u32) -> Result<Option<Share>, Problem> {
        let first = self.shares.iter().take(grabbed as usize).zip(1_u32..);
        let Some((_, number)) = first.max_by_key(|(amount, number)| (**amount, std::cmp::Reverse(*number))) else {
            return Ok(None);
        };
        Ok(self.grabs(number, 1)?.pop())
    }

    /// Ends all grabs: when this returns none is made any more. Gives when they were ended, now or before.
    pub(crate) fn close(&self) -> Result<u64, Problem> {
        let closed = Closed { at_ms: Now::of_this_call().0 };
        let step = Step::in_shard(shard(self.packet_id())).absent(CLOSED);
        let step = step.put(CLOSED, &closed, Some(lifetime(self.definition())))?;
        match step.write(cache::Write::Delete(OPEN.into())).commit()? {
            Ok(_) => Ok(closed.at_ms),
            Err(_) => Ok(self.closed_at_ms()?.unwrap_or(closed.at_ms)),
        }
    }

    /// When the grabs were ended; none if they were not.
    pub(crate) fn closed_at_ms(&self) -> Result<Option<u64>, Problem> {
        Ok(read::<Closed>(self.packet_id(), CLOSED)?.map(|closed| closed.at_ms))
    }

    /// Says what has become of the packet.
    pub(crate) fn end(&self, outcome: &Outcome) -> Result<(), Problem> {
        let step = Step::in_shard(shard(self.packet_id())).put(OUTCOME, outcome, Some(KEPT))?;
        // Without checks and bounds there is nothing that could stop it.
        let _ = step.commit()?;
        Ok(())
    }

    /// What has become of the packet; none before everything is paid.
    pub(crate) fn outcome(&self) -> Result<Option<Outcome>, Problem> {
        read(self.packet_id(), OUTCOME)
    }
}

fn shard(packet_id: &PacketId) -> String {
    format!("packet/{packet_id}")
}

/// From now until well after the close, whenever in a packet's life it is asked for.
fn lifetime(definition: &Definition) -> Duration {
    Duration::from_millis(definition.closes_at_ms.saturating_sub(Now::of_this_call().0)) + KEPT
}

fn number(score: Option<i64>) -> Result<u32, Problem> {
    let number = score.and_then(|score| u32::try_from(score).ok()).filter(|number| *number > 0);
    number.ok_or_else(|| Problem::failed(format!("a grab has the number {score:?}")))
}

fn read<T: serde::de::DeserializeOwned>(packet_id: &PacketId, key: &str) -> Result<Option<T>, Problem> {
    let bytes = cache::get(&shard(packet_id), key)?;
    let value = bytes.map(|bytes| read_json(&bytes)).transpose();
    value.map_err(|e| Problem::failed(format!("`{key}` of packet {packet_id}: {e}")))
}
