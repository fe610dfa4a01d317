//! Retries and dead letters.

use greenroom::domain::{Amount, AssetType, ContentDigest, Event, Held, Outcome, RoomId};
use greenroom::ports::db::{DeadLetter, Deliveries, Retry};

use super::ledger::{COIN, account, event_id};

const BEAN: AssetType = AssetType(2);

fn event(name: &str) -> Event {
    Event {
        event_id: event_id(name),
        topic: "gift.sent".into(),
        key: "17".into(),
        room_id: Some(RoomId(1001)),
        at_ms: 1_750_000_000_000,
        held: Some(Held {
            payer: account(17, COIN),
            digest: ContentDigest([3; 16]),
            outcome: Outcome { amount: Amount(5), balance: Amount(95), counters: vec![1, -2] },
        }),
        payload: vec![0, 255, 7].into(),
    }
}

fn retry(name: &str, offset: u64, due_ms: u64) -> Retry {
    let (group, reason) = ("settle".into(), "busy".into());
    Retry { id: 0, group, partition: 3, offset, attempt: 2, due_ms, reason, event: event(name) }
}

fn dead(name: &str, offset: u64) -> DeadLetter {
    let (group, reason) = ("settle".into(), "no such gift".into());
    DeadLetter { id: 0, group, partition: 3, offset, attempts: 5, reason, at_ms: 77, event: event(name) }
}

async fn due(db: &dyn Deliveries) -> Vec<Retry> {
    db.due("settle", u64::MAX / 2, 100).await.unwrap()
}

pub async fn an_event_set_aside_twice_is_there_once(db: &dyn Deliveries) {
    db.set_aside(vec![retry("e1", 8, 10)], vec![dead("e2", 9)]).await.unwrap();
    let again = Retry { attempt: 3, due_ms: 99, reason: "still busy".into(), ..retry("e1", 8, 0) };
    db.set_aside(vec![again], vec![dead("e2", 9)]).await.unwrap();
    let found = due(db).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].attempt, found[0].due_ms, found[0].reason.as_str()), (3, 99, "still busy"));
    assert_eq!(db.dead_letters(0, 10).await.unwrap().len(), 1);
    assert_eq!(db.waiting().await.unwrap().len(), 2);
}

pub async fn due_retries_come_oldest_first_and_only_of_their_group(db: &dyn Deliveries) {
    let other = Retry { group: "points".into(), ..retry("e9", 9, 1) };
    db.set_aside(vec![retry("e1", 1, 30), retry("e2", 2, 10), retry("e3", 3, 20), other], vec![]).await.unwrap();
    let names = |found: Vec<Retry>| found.iter().map(|r| r.event.event_id.to_string()).collect::<Vec<_>>();
    assert_eq!(names(db.due("settle", 20, 10).await.unwrap()), ["e2", "e3"]);
    assert_eq!(names(db.due("settle", 30, 2).await.unwrap()), ["e2", "e3"]);
    assert_eq!(names(db.due("settle", 9, 10).await.unwrap()), [""; 0]);
    let ids: Vec<i64> = db.due("settle", 20, 10).await.unwrap().iter().map(|retry| retry.id).collect();
    db.remove_retries(&ids).await.unwrap();
    db.remove_retries(&ids).await.unwrap();
    assert_eq!(names(due(db).await), ["e1"]);
    assert_eq!(names(db.due("points", 1, 10).await.unwrap()), ["e9"]);
}

pub async fn a_dead_letter_removes_the_retry_and_stays_dead(db: &dyn Deliveries) {
    db.set_aside(vec![retry("e1", 8, 10)], vec![]).await.unwrap();
    db.set_aside(vec![], vec![dead("e1", 8)]).await.unwrap();
    assert_eq!(due(db).await.len(), 0);
    db.set_aside(vec![retry("e1", 8, 10)], vec![]).await.unwrap();
    assert_eq!(due(db).await.len(), 0);
    assert_eq!(db.waiting().await.unwrap(), [event("e1")]);
}

pub async fn a_dead_letter_is_replayed_or_dropped_once(db: &dyn Deliveries) {
    db.set_aside(vec![], vec![dead("e1", 1), dead("e2", 2), dead("e3", 3)]).await.unwrap();
    let letters = db.dead_letters(0, 10).await.unwrap();
    let ids: Vec<i64> = letters.iter().map(|letter| letter.id).collect();
    assert!(ids.is_sorted());
    assert_eq!(db.dead_letters(ids[0], 1).await.unwrap()[0].id, ids[1]);
    assert_eq!(db.dead_letter(ids[2]).await.unwrap().unwrap().reason, "no such gift");

    assert!(db.replay(ids[0], 500).await.unwrap());
    assert!(!db.replay(ids[0], 500).await.unwrap());
    let found = due(db).await;
    assert_eq!((found[0].attempt, found[0].due_ms, found[0].offset), (6, 500, 1));
    assert!(db.drop_dead_letter(ids[1]).await.unwrap());
    assert!(!db.drop_dead_letter(ids[1]).await.unwrap());
    assert!(db.dead_letter(ids[1]).await.unwrap().is_none());
    assert_eq!(db.waiting().await.unwrap().len(), 2);
}

pub async fn dead_letters_are_told_by_one_at_a_time_until_they_were_told(db: &dyn Deliveries) {
    let ids = |letters: Vec<DeadLetter>| letters.iter().map(|letter| letter.id).collect::<Vec<_>>();
    db.set_aside(vec![], vec![dead("e1", 1), dead("e2", 2), dead("e3", 3)]).await.unwrap();
    let all = ids(db.dead_letters(0, 10).await.unwrap());
    let first = db.unpublished_dead_letters(1_000, 2_000, 2).await.unwrap();
    assert_eq!((&first[0].event, first[0].offset, first[0].attempts), (&event("e1"), 1, 5));
    assert_eq!(ids(first), all[..2]);
    assert_eq!(
        ids(db.unpublished_dead_letters(1_000, 2_000, 2).await.unwrap()),
        all[2..],
        "the others are in somebody's hands"
    );
    db.dead_letters_published(&all[..1]).await.unwrap();
    assert_eq!(ids(db.unpublished_dead_letters(1_999, 3_000, 9).await.unwrap()), [0i64; 0]);
    assert_eq!(
        ids(db.unpublished_dead_letters(2_000, 3_000, 9).await.unwrap()),
        all[1..],
        "who had them has not told them in time"
    );
    db.dead_letters_published(&all).await.unwrap();
    db.set_aside(vec![], vec![dead("e1", 1)]).await.unwrap();
    assert_eq!(ids(db.unpublished_dead_letters(9_000, 9_001, 9).await.unwrap()), [0i64; 0], "it was told");
}

pub async fn an_event_comes_back_as_it_was(db: &dyn Deliveries) {
    let plain = Event { held: None, room_id: None, payload: vec![].into(), ..event("e2") };
    db.set_aside(vec![retry("e1", 1, 1), Retry { event: plain.clone(), ..retry("e2", 2, 2) }], vec![dead("e3", 3)])
        .await
        .unwrap();
    let found = due(db).await;
    assert_eq!((&found[0].event, &found[1].event), (&event("e1"), &plain));
    let letter = &db.dead_letters(0, 1).await.unwrap()[0];
    assert_eq!((&letter.event, letter.at_ms, letter.attempts, letter.partition), (&event("e3"), 77, 5, 3));
}

pub async fn an_account_is_told_what_waits_at_its_cost(db: &dyn Deliveries) {
    let paid_by = |name: &str, user, asset| {
        let mut event = event(name);
        event.held.as_mut().unwrap().payer = account(user, asset);
        event
    };
    let other_asset = Retry { event: paid_by("e3", 17, BEAN), ..retry("e3", 3, 1) };
    let other_user = DeadLetter { event: paid_by("e4", 18, COIN), ..dead("e4", 4) };
    let told = Retry { event: Event { held: None, ..event("e5") }, ..retry("e5", 5, 1) };
    let elsewhere = DeadLetter { group: "points".into(), ..dead("e1", 1) };
    db.set_aside(vec![retry("e1", 1, 1), other_asset, told], vec![dead("e2", 2), other_user, elsewhere]).await.unwrap();
    let mut found = db.waiting_of(account(17, COIN)).await.unwrap();
    found.sort_by_key(|event| event.event_id.to_string());
    assert_eq!(found, [event("e1"), event("e1"), event("e2")]);
    assert_eq!(db.waiting_of(account(17, BEAN)).await.unwrap(), [paid_by("e3", 17, BEAN)]);
    assert_eq!(db.waiting_of(account(19, COIN)).await.unwrap(), []);

    let letters = db.dead_letters(0, 10).await.unwrap();
    let letter = letters.iter().find(|letter| letter.event.event_id == event_id("e2")).unwrap();
    assert!(db.replay(letter.id, 0).await.unwrap());
    assert_eq!(db.waiting_of(account(17, COIN)).await.unwrap().len(), 3, "it waits for a try");
    let ids: Vec<i64> = due(db).await.iter().map(|retry| retry.id).collect();
    db.remove_retries(&ids).await.unwrap();
    assert_eq!(db.waiting_of(account(17, COIN)).await.unwrap(), [event("e1")], "the other group's");
}
