//! Rankings under repetition, restarts and crashes: each gift counts once.

use std::collections::BTreeMap;

use super::*;

const SATURDAY_MS: u64 = 1_795_234_464_123;

fn contribution(user_id: i64, event_id: &str, amount: i64) -> Contribution {
    Contribution {
        index: 0,
        attempt: 1,
        partition: 0,
        room_id: 5,
        user_id,
        asset_type: 1,
        amount,
        stream_id: "s1".into(),
        at_ms: SATURDAY_MS,
        fingerprint: fingerprint(user_id, event_id),
        is_repeated: false,
    }
}

fn repeated(contributions: &[Contribution]) -> Vec<Contribution> {
    contributions.iter().map(|c| Contribution { is_repeated: true, ..c.clone() }).collect()
}

/// The rankings and the memory of one room and partition.
#[derive(Default)]
struct Room {
    scores: BTreeMap<(String, String), i64>,
    seen: Vec<u8>,
}

impl Room {
    fn count(&mut self, batch: &[Contribution]) {
        let group: Group = batch.iter().collect();
        let Some(counting) = Counting::plan(&self.seen, &group) else { return };
        for write in scores(&counting.gifts) {
            let cache::Write::RankAdd(score) = write else { panic!("{write:?}") };
            *self.scores.entry((score.key, score.member)).or_default() += score.delta;
        }
        self.seen = counting.seen;
    }

    fn score(&self, key: &str, user: &str) -> i64 {
        self.scores.get(&(key.into(), user.into())).copied().unwrap_or_default()
    }
}

#[test]
fn a_gift_counts_for_its_stream_day_and_week() {
    let mut room = Room::default();
    room.count(&[contribution(1, "a", 10), contribution(1, "b", 5), contribution(2, "a", 7)]);
    for key in ["rank/1/stream/s1", "rank/1/day/2026-11-21", "rank/1/week/2026-W47"] {
        assert_eq!((room.score(key, "1"), room.score(key, "2")), (15, 7), "{key}");
    }
    assert_eq!(room.scores.len(), 6);
}

#[test]
fn a_batch_that_comes_again_counts_nothing_in_whatever_portions() {
    let batch: Vec<_> = (0..300).map(|n| contribution(1, &format!("e{n}"), 1)).collect();
    let mut room = Room::default();
    room.count(&batch);
    room.count(&repeated(&batch[..120]));
    // The rest comes together with a new gift, and then once more.
    let mut rest = repeated(&batch[120..]);
    rest.push(contribution(1, "new", 1));
    room.count(&rest);
    room.count(&repeated(&rest));
    assert_eq!(room.score("rank/1/stream/s1", "1"), 301);
}

#[test]
fn a_batch_whose_books_were_written_before_a_crash_counts_when_it_comes_again() {
    let mut room = Room::default();
    room.count(&[contribution(1, "a", 10)]);
    let lost = repeated(&[contribution(1, "b", 5), contribution(2, "c", 5)]);
    room.count(&lost);
    room.count(&lost);
    assert_eq!((room.score("rank/1/stream/s1", "1"), room.score("rank/1/stream/s1", "2")), (15, 5));
}

#[test]
fn the_memory_is_bounded() {
    let mut room = Room::default();
    for n in 0..1_000 {
        room.count(&[contribution(1, &format!("e{n}"), 1)]);
    }
    assert!(room.seen.len() <= (REMEMBERED_MIN + 1) * FINGERPRINT_LEN, "{}", room.seen.len());
    // A duplicate that a relay made shortly before is still known.
    room.count(&repeated(&[contribution(1, "e950", 1)]));
    assert_eq!(room.score("rank/1/stream/s1", "1"), 1_000);
}

#[test]
fn one_step_counts_a_room_over_partitions_and_each_has_its_own_memory() {
    let (first, again, second) =
        (contribution(1, "a", 10), repeated(&[contribution(1, "a", 10)]), contribution(2, "b", 5));
    let (checks, writes) = step(&[(3, vec![&first])], vec![None]);
    assert_eq!((checks.len(), checks[0].key.as_str(), &checks[0].expected), (1, "counted/3", &None));
    let cache::Write::Put(memory) = &writes[0] else { panic!("{writes:?}") };
    assert_eq!((memory.key.as_str(), writes.len()), ("counted/3", 1 + 3));

    let seen = vec![Some(memory.value.clone()), None];
    let (checks, writes) = step(&[(3, vec![&again[0]]), (7, vec![&second])], seen);
    assert_eq!(checks.iter().map(|check| check.key.as_str()).collect::<Vec<_>>(), ["counted/7"]);
    let members: Vec<&str> = writes
        .iter()
        .filter_map(|write| match write {
            cache::Write::RankAdd(score) => Some(score.member.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(members, ["2"; 3], "the first was counted before");

    let (checks, writes) = step(&[(3, vec![&again[0]])], vec![Some(memory.value.clone())]);
    assert!(checks.is_empty() && writes.is_empty());
}
