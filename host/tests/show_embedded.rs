//! Whole shows on one host whose process is killed again and again: lotteries, polls, red packets, a quiz, a battle, chat, likes and gifts at
//! the same time, by clients who repeat what was not answered. At the end everything has happened that was promised, to the last coin.
//!
//! - `GREENROOM_TEST_FULL=1`: 100 shows instead of two; each has a room of its own, and ten go on at the same time. Some seven minutes.
//! - `SEED`: repeats what clients do and when; it is printed. What the machine makes of it is another matter.
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
#[path = "show/books.rs"]
mod books;
#[path = "show/cast.rs"]
mod cast;
#[path = "show/chat.rs"]
mod chat;
#[path = "show/gifts.rs"]
mod gifts;
#[path = "show/killed.rs"]
mod killed;
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
#[allow(dead_code, reason = "several hosts need more of it")]
mod verified;
#[path = "show/visitor.rs"]
#[allow(dead_code, reason = "several hosts need more of it")]
mod visitor;
#[path = "show/whole.rs"]
mod whole;

use site::Mode;

const MODE: Mode = Mode::Embedded;
