//! The list of entrants: read once entering is over, when it does not change any more.

use greenroom_sdk::{Cursor, Page, Problem, answer, cache, stored};

use crate::enter::ENTRANTS;
use crate::lottery::Lottery;

/// Entrants that the host lists in one call.
const PAGE: u32 = 1_000;

/// Where a page of the public list begins: the shard's number, and the place in it.
#[derive(Copy)]
#[stored]
pub(crate) struct From {
    shard: u32,
    offset: u32,
}

/// One who entered.
#[answer]
pub(crate) struct Entrant {
    user_id: String,
    chances: i64,
}

/// All of them with their chances, in ascending order of their ids.
pub(crate) fn all(lottery: &Lottery) -> Result<Vec<(i64, i64)>, Problem> {
    let mut all = Vec::new();
    for shard in lottery.shards().all() {
        for page in 0.. {
            let listed = listed(&shard, page * PAGE)?;
            let is_last = listed.len() < PAGE as usize;
            all.extend(listed);
            if is_last {
                break;
            }
        }
    }
    all.sort_unstable();
    Ok(all)
}

/// A page of them, shard by shard: whoever wants to check the digest puts them in order.
pub(crate) fn page(lottery: &Lottery, from: Option<From>) -> Result<Page<Entrant, From>, Problem> {
    let mut from = from.unwrap_or(From { shard: 0, offset: 0 });
    for shard in lottery.shards().all().skip(from.shard as usize) {
        let listed = listed(&shard, from.offset)?;
        let count = u32::try_from(listed.len()).unwrap_or(u32::MAX);
        from = match count {
            PAGE => From { offset: from.offset.saturating_add(count), ..from },
            _ => From { shard: from.shard.saturating_add(1), offset: 0 },
        };
        if count > 0 {
            let items = listed.into_iter().map(|(user_id, chances)| Entrant { user_id: user_id.to_string(), chances });
            return Ok(Page { items: items.collect(), next_cursor: Some(Cursor(from)) });
        }
    }
    Ok(Page { items: Vec::new(), next_cursor: None })
}

fn listed(shard: &str, offset: u32) -> Result<Vec<(i64, i64)>, Problem> {
    let read = |ranked: cache::Ranked| {
        let user_id = ranked.member.parse().map_err(|_| Problem::failed(format!("entrant {}", ranked.member)))?;
        Ok((user_id, ranked.score))
    };
    cache::top(shard, ENTRANTS, offset, PAGE)?.into_iter().map(read).collect()
}
