//! Lotteries with prizes in coins: by tickets, by gifts, and one that is cancelled.

use futures::future::join_all;
use rand::RngExt;
use serde_json::{Value, json};

use crate::books::Books;
use crate::cast::{Cast, some_time, twice};
use crate::verified;
use crate::visitor::{Visitor, number, with_id};

const PRICE: i64 = 10;
const TICKETS: usize = 2;
const PRIZES: [(i64, i64); 2] = [(300, 2), (50, 3)];

/// How a lottery goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Tickets,
    Gifts,
    Cancelled,
}

/// A lottery that is over and paid, and what was answered.
pub struct Played {
    id: String,
    kind: Kind,
    /// Tickets of each viewer that were answered, in their order.
    tickets: Vec<usize>,
}

pub async fn play(cast: &Cast, kind: Kind) -> Played {
    let entry = match kind {
        Kind::Gifts => json!({ "kind": "gift", "giftId": "2002" }),
        _ => json!({ "kind": "ticket", "price": PRICE }),
    };
    let prizes = PRIZES.map(|(coins, stock)| json!({ "name": "coins", "coins": coins, "stock": stock }));
    let lottery = with_id(json!({
        "title": "Show", "entry": entry, "prizes": prizes, "closesInS": 10, "blankWeight": 1, "chancesPerViewer": TICKETS,
    }));
    let id = cast.make(&cast.streamer, "lotteries", &lottery, "lotteryId").await;
    let path = cast.path(&format!("lotteries/{id}"));
    cast.streamer.until(&path, |lottery| !lottery.is_null()).await;
    let cancel = async {
        if kind == Kind::Cancelled {
            some_time(&mut cast.random(cast.room, 5), 8_000).await;
            cast.streamer.post(&format!("{path}/cancel"), &Value::Null).await.ok();
        }
    };
    let buyers = cast.viewers.iter().map(|viewer| buy(cast, viewer, &path, kind));
    let (tickets, ()) = tokio::join!(join_all(buyers), cancel);
    let end = if kind == Kind::Cancelled { "cancelled" } else { "drawn" };
    cast.streamer.until(&path, |lottery| lottery["isPaid"] == true && lottery["status"] == end).await;
    Played { id, kind, tickets }
}

async fn buy(cast: &Cast, viewer: &Visitor, lottery: &str, kind: Kind) -> usize {
    let mut random = cast.random(viewer.user_id, 6);
    let (path, mut bought) = (format!("{lottery}/entries"), 0);
    let wanted = if kind == Kind::Gifts { 0 } else { random.random_range(1..=TICKETS) };
    for _ in 0..wanted {
        some_time(&mut random, 6_000).await;
        let ticket = with_id(json!({}));
        bought += usize::from(twice(viewer, &path, &ticket, &["lottery-not-open"]).await.is_some());
    }
    bought
}

/// Who is in the list has paid, who has won is paid, and the draw can be computed again. Of a cancelled one there is nothing left.
pub async fn check(cast: &Cast, played: &Played, books: &mut Books) {
    if played.kind == Kind::Cancelled {
        books.saw("tickets of cancelled lotteries", played.tickets.iter().sum());
        return;
    }
    let path = cast.path(&format!("lotteries/{}", played.id));
    let lottery = cast.operator.get(&path).await.ok();
    let entrants = cast.operator.pages(&format!("{path}/entrants")).await;
    verified::lottery(&lottery, &entrants);
    books.saw(if played.kind == Kind::Gifts { "entrants by gift" } else { "entrants by ticket" }, entrants.len());
    books.saw("prizes", lottery["wins"].as_array().unwrap().len());
    for entrant in &entrants {
        let (user_id, chances) = (number(&entrant["userId"]), number(&entrant["chances"]));
        if played.kind == Kind::Tickets {
            let place = cast.viewers.iter().position(|viewer| viewer.user_id == user_id).unwrap();
            assert!(usize::try_from(chances).unwrap() <= played.tickets[place], "{user_id}: {chances} of {entrants:?}");
            books.add(user_id, -chances * PRICE);
        }
    }
    let mut stock = PRIZES.map(|(_, stock)| stock);
    for win in lottery["wins"].as_array().unwrap() {
        let tier = usize::try_from(number(&win["tier"])).unwrap();
        stock[tier] -= 1;
        books.add(number(&win["userId"]), PRIZES[tier].0);
    }
    assert!(stock.iter().all(|left| *left >= 0), "{lottery}");
}
