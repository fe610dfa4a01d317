//! A battle of the show's room with another one of the same streamer, which the gifts in both decide.

use std::cmp::Ordering;
use std::ops::Range;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::accounts::settled;
use crate::books::Books;
use crate::cast::Cast;
use crate::gifts;
use crate::visitor::{number, with_id};

/// The other room of a show has a number that is so much higher.
const RIVALS: i64 = 1_000;
/// Shorter than there are gifts, so that some come too late.
const LASTS_S: i64 = 12;

/// Gifts are counted for so long after the end that a server which is killed all the time has come to each of them.
pub fn plugin() -> Value {
    json!({ "name": "pk", "config": { "drainS": 12 } })
}

/// A battle that has ended, and what was sent in the other room.
pub struct Played {
    pub id: String,
    gifts: gifts::Played,
}

/// The other room.
pub fn rival(cast: &Cast) -> i64 {
    cast.room + RIVALS
}

pub async fn open_rival(cast: &Cast) {
    cast.open(rival(cast), &[plugin(), json!({ "name": "gift" })]).await;
}

/// Gifts in the show's own room are somebody else's to send.
pub async fn play(cast: &Cast) -> Played {
    let (id, gifts) = tokio::join!(fight(cast), gifts::play(cast, rival(cast)));
    Played { id, gifts }
}

async fn fight(cast: &Cast) -> String {
    let rival = rival(cast);
    let challenge = with_id(json!({ "opponentRoomId": rival, "durationS": LASTS_S }));
    let id = cast.make(&cast.streamer, "pks", &challenge, "battleId").await;
    let accept = format!("/v1/rooms/{rival}/pks/{id}/accept");
    let begun = cast.streamer.post(&accept, &Value::Null).await.ok();
    let again = cast.streamer.post(&accept, &Value::Null).await.ok();
    assert_eq!((&begun["startedAtMs"], &begun["endsAtMs"]), (&again["startedAtMs"], &again["endsAtMs"]));
    cast.streamer.until(&cast.path(&format!("pks/{id}")), |battle| battle["status"] == "ended").await;
    id
}

/// Both rooms have one result, and it is what the books have of gifts in that time.
pub async fn check(cast: &Cast, played: &Played, books: &mut Books) {
    gifts::check(&played.gifts, books);
    let rooms = [cast.room, rival(cast)];
    let battle = cast.operator.get(&cast.path("pk")).await.ok();
    assert_eq!((&battle["status"], &battle["battleId"]), (&json!("ended"), &json!(played.id)), "{battle}");
    for room in rooms {
        for path in ["pk", &format!("pks/{}", played.id)] {
            assert_eq!(cast.operator.get(&format!("/v1/rooms/{room}/{path}")).await.ok(), battle, "room {room}");
        }
    }
    let time = number(&battle["startedAtMs"])..number(&battle["endsAtMs"]);
    assert_eq!(time.end - time.start, LASTS_S * 1_000, "{battle}");
    let (sums, too_late) = sums(cast, rooms, &time).await;
    let scores = ["challenger", "challenged"].map(|side| number(&battle[side]["score"]));
    assert_eq!(scores, sums, "{battle}");
    let winner = match sums[0].cmp(&sums[1]) {
        Ordering::Greater => json!("challenger"),
        Ordering::Less => json!("challenged"),
        Ordering::Equal => Value::Null,
    };
    assert_eq!(battle["winner"], winner, "{battle}");
    books.saw("coins that decided a battle", usize::try_from(sums.iter().sum::<i64>()).unwrap());
    books.saw("gifts too late for a battle", too_late);
}

/// What the ledger has of gifts in each room in that time, and how many there are that were sent after it.
async fn sums(cast: &Cast, rooms: [i64; 2], time: &Range<i64>) -> ([i64; 2], usize) {
    let (mut sums, mut too_late) = ([0; 2], 0);
    for viewer in &cast.viewers {
        settled(viewer).await;
        let records = viewer.listing("/v1/users/me/asset-records", "records").await;
        for gift in records.iter().filter(|record| record["eventType"] == "interactGift" && record["opUserType"] == 1) {
            let at_ms = gift["at"].as_str().unwrap().parse::<Timestamp>().unwrap().as_millisecond();
            let room = rooms.iter().position(|room| *room == number(&gift["bizId"])).unwrap();
            if time.contains(&at_ms) {
                sums[room] -= number(&gift["delta"]);
            }
            too_late += usize::from(at_ms >= time.end);
        }
    }
    (sums, too_late)
}
