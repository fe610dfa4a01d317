//! A whole show: what all plugins do in one room at the same time.

use serde_json::{Value, json};

use crate::books::Books;
use crate::cast::Cast;
use crate::visitor::Visitor;
use crate::{chat, gifts, likes, lottery, packet, pk, poll, quiz};

pub const PLUGINS: [&str; 8] = ["chat", "gift", "likes", "lottery", "packet", "pk", "quiz", "voting"];

/// Opens the rooms of a show, and gives everybody money.
pub async fn prepare(cast: &Cast, service: &Visitor) {
    let plugins: [Value; 8] = [
        json!({ "name": "gift" }),
        json!({ "name": "packet" }),
        json!({ "name": "lottery", "config": { "drainS": 1, "drawDelayS": 1 } }),
        json!({ "name": "voting", "config": { "countingMaxS": 10 } }),
        chat::plugin(),
        likes::plugin(),
        pk::plugin(),
        quiz::plugin(),
    ];
    cast.open(cast.room, &plugins).await;
    pk::open_rival(cast).await;
    cast.pay(service).await;
}

/// All of a show at the same time; what its viewers must have at the end.
pub async fn show(cast: &Cast) -> Books {
    let (giver, other) = (&cast.viewers[0], &cast.viewers[1]);
    let (gifts, free, paid, whole, rest, tickets, entered, cancelled, quiz, pk, chat, likes) = tokio::join!(
        gifts::play(cast, cast.room),
        poll::play(cast, false),
        poll::play(cast, true),
        packet::play(cast, giver, "random", 101, 5),
        packet::play(cast, other, "equal", 60, 20),
        lottery::play(cast, lottery::Kind::Tickets),
        lottery::play(cast, lottery::Kind::Gifts),
        lottery::play(cast, lottery::Kind::Cancelled),
        quiz::play(cast),
        pk::play(cast),
        chat::play(cast),
        likes::play(cast),
    );
    let mut books = Books::default();
    gifts::check(&gifts, &mut books);
    for poll in [free, paid] {
        poll::check(cast, &poll, &mut books).await;
    }
    for packet in [whole, rest] {
        packet::check(cast, &packet, &mut books).await;
    }
    for lottery in [tickets, entered, cancelled] {
        lottery::check(cast, &lottery, &mut books).await;
    }
    quiz::check(cast, &quiz, &mut books).await;
    pk::check(cast, &pk, &mut books).await;
    chat::check(cast, &chat, &mut books).await;
    likes::check(cast, &likes, &mut books).await;
    books
}
