//! A dead letter as a message of the topic `<prefix>.dead-letters`: the event's own key and payload, and in headers what became of it.

use rdkafka::message::{Header, OwnedHeaders};

use super::names::of_place_number;
use crate::ports::db::DeadLetter;

/// All of them text: whoever reads the topic needs no code of ours.
pub(super) fn headers(letter: &DeadLetter) -> OwnedHeaders {
    let held = letter.event.held.as_ref();
    let (_, partition) = of_place_number(letter.partition);
    let always = [
        ("greenroom-dead-letter-id", letter.id.to_string()),
        ("greenroom-reason", letter.reason.clone()),
        ("greenroom-group", letter.group.clone()),
        ("greenroom-topic", letter.event.topic.to_string()),
        ("greenroom-partition", partition.to_string()),
        ("greenroom-offset", letter.offset.to_string()),
        ("greenroom-attempts", letter.attempts.to_string()),
        ("greenroom-at-ms", letter.at_ms.to_string()),
        ("greenroom-event-id", letter.event.event_id.to_string()),
    ];
    let of_money = held.map(|held| {
        [
            ("greenroom-payer-id", held.payer.user_id.to_string()),
            ("greenroom-asset-type", held.payer.asset_type.to_string()),
            ("greenroom-amount", held.outcome.amount.to_string()),
        ]
    });
    let all = always.into_iter().chain(of_money.into_iter().flatten());
    all.fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(&value) }))
}
