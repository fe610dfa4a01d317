//! Rooms over three hosts, on Redis, Kafka and PostgreSQL. A crowd votes, grabs, enters, chats and likes, over all hosts at the same time, with
//! repetitions and races; a quiz and a battle are played by viewers who ask one host after the other, also while a host is killed. What is
//! counted is exact, what is drawn can be computed again, and what is shown is shown on every host.
//!
//! `GREENROOM_TEST_FULL=1`: 100,000 voters, 20,000 who grab, 100,000 entrants, 10,000 who write and 50,000 who like, instead of some hundreds
//! or thousands.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

#[path = "show/accounts.rs"]
mod accounts;
#[path = "show/audience.rs"]
mod audience;
#[path = "show/books.rs"]
mod books;
#[path = "show/cast.rs"]
mod cast;
#[path = "show/chat.rs"]
mod chat;
#[path = "show/crowd.rs"]
mod crowd;
#[path = "e2e/events.rs"]
#[allow(dead_code, reason = "the suite `e2e` needs more of it")]
mod events;
#[path = "show/gifts.rs"]
mod gifts;
#[path = "show/hosts.rs"]
mod hosts;
#[path = "show/likes.rs"]
mod likes;
#[path = "show/lottery.rs"]
mod lottery;
#[path = "show/packet.rs"]
mod packet;
#[path = "show/pk.rs"]
mod pk;
#[path = "show/poll.rs"]
mod poll;
#[path = "show/quiz.rs"]
mod quiz;
#[path = "e2e/site.rs"]
#[allow(dead_code, reason = "the suite `e2e` needs more of it")]
mod site;
#[path = "e2e/support.rs"]
#[allow(dead_code, reason = "the suite `e2e` needs more of it")]
mod support;
#[path = "show/verified.rs"]
#[allow(dead_code, reason = "the shows of one host need more of it")]
mod verified;
#[path = "show/visitor.rs"]
#[allow(dead_code, reason = "the shows of one host need more of it")]
mod visitor;
#[path = "show/whole.rs"]
mod whole;

use site::Mode;

const MODE: Mode = Mode::Distributed;
