//! Red packets: one that is grabbed to the last share, if there is the time, and one of which a rest goes back.

use std::collections::BTreeMap;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::books::Books;
use crate::cast::{Cast, some_time};
use crate::verified;
use crate::visitor::{Visitor, number, with_id};

/// A packet that has its outcome, and what was answered.
pub struct Played {
    id: String,
    giver: i64,
    amount: i64,
    /// Of each viewer, in their order; none for who came too late.
    grabs: Vec<Option<Value>>,
}

pub async fn play(cast: &Cast, giver: &Visitor, kind: &str, amount: i64, shares: u32) -> Played {
    let packet = with_id(json!({ "kind": kind, "amount": amount, "shares": shares, "lastsMs": 10_000 }));
    let id = cast.make(giver, "packets", &packet, "packetId").await;
    let path = cast.path(&format!("packets/{id}"));
    giver.until(&path, |packet| !packet.is_null()).await;
    let grabs = join_all(cast.viewers.iter().map(|viewer| grab(cast, viewer, &path))).await;
    giver.until(&path, |packet| packet["outcome"].is_object()).await;
    Played { id, giver: giver.user_id, amount, grabs }
}

async fn grab(cast: &Cast, viewer: &Visitor, packet: &str) -> Option<Value> {
    some_time(&mut cast.random(viewer.user_id, 4), 9_000).await;
    let (path, late) = (format!("{packet}/grabs"), ["packet-closed", "packet-empty"]);
    let (one, other) = tokio::join!(viewer.post(&path, &Value::Null), viewer.post(&path, &Value::Null));
    let (one, other) = (one.unless(&late), other.unless(&late));
    if let (Some(one), Some(other)) = (&one, &other) {
        assert_eq!((&one["number"], &one["amount"]), (&other["number"], &other["amount"]));
    }
    one.or(other)
}

/// Shares and rest are the whole, nobody has two, and all are as the secret says.
pub async fn check(cast: &Cast, played: &Played, books: &mut Books) {
    let path = cast.path(&format!("packets/{}", played.id));
    let packet = cast.operator.get(&path).await.ok();
    let list = cast.operator.pages(&format!("{path}/grabs")).await;
    let mut grabbed: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for grab in &list {
        let share = (number(&grab["number"]), number(&grab["amount"]));
        assert!(grabbed.insert(number(&grab["userId"]), share).is_none(), "a viewer twice: {list:?}");
    }
    for (viewer, answer) in cast.viewers.iter().zip(&played.grabs) {
        let told = answer.as_ref().map(|answer| (number(&answer["number"]), number(&answer["amount"])));
        assert_eq!(grabbed.get(&viewer.user_id), told.as_ref(), "{} in {packet}", viewer.user_id);
    }
    let returned = number(&packet["outcome"]["returned"]);
    let paid: i64 = grabbed.values().map(|(_, amount)| amount).sum();
    assert_eq!(paid + returned, played.amount, "{packet}");
    books.saw("grabs", grabbed.len());
    verified::packet(&packet, &list);
    books.add(played.giver, returned - played.amount);
    grabbed.iter().for_each(|(user_id, (_, amount))| books.add(*user_id, *amount));
}
