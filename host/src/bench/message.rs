//! The bytes of a gift's request, and what its answer means.

use std::borrow::Cow;
use std::io::Write;

use serde::Deserialize;

use super::plan::Gift;

/// Who plays in this run, and what is the same in all of its requests.
#[derive(Debug, Clone)]
pub(super) struct Cast {
    /// `host:port`, for the `host` header.
    pub(super) authority: String,
    pub(super) gift_id: String,
    pub(super) rooms: Vec<i64>,
    pub(super) viewers: Vec<i64>,
    /// One for each viewer.
    pub(super) tokens: Vec<String>,
    /// When the run began, in milliseconds since the Unix epoch; with `salt`, it makes the event ids of this run its own.
    pub(super) began_at_ms: u64,
    pub(super) salt: u64,
}

impl Cast {
    /// Writes the whole request, head and body.
    pub(super) fn write(&self, gift: &Gift, out: &mut Vec<u8>) {
        let body = self.body(gift);
        let (room, token) = (self.room(gift), self.token(gift));
        out.clear();
        // Writing to memory does not fail.
        let _ = write!(
            out,
            "POST /v1/rooms/{room}/gifts HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.authority,
            body.len(),
        );
    }

    /// Where the viewer's socket goes.
    pub(super) fn socket_url(&self, gift: &Gift) -> String {
        let (room, token) = (self.room(gift), self.token(gift));
        format!("ws://{}/v1/rooms/{room}/ws?token={token}", self.authority)
    }

    /// The request as a message of a socket.
    pub(super) fn socket_request(&self, gift: &Gift) -> String {
        format!(r#"{{"ref":{},"method":"POST","path":"gifts","body":{}}}"#, gift.number, self.body(gift))
    }

    fn token(&self, gift: &Gift) -> &str {
        usize::try_from(gift.viewer).ok().and_then(|viewer| self.tokens.get(viewer)).map_or("", String::as_str)
    }

    fn room(&self, gift: &Gift) -> i64 {
        usize::try_from(gift.room).ok().and_then(|room| self.rooms.get(room)).copied().unwrap_or_default()
    }

    fn body(&self, gift: &Gift) -> String {
        let event = self.event_id(gift.number);
        let combo = gift.combo.map_or_else(String::new, |combo| {
            format!(r#","comboId":"c{:x}-{:x}","comboEnd":{}"#, self.salt, combo.first, combo.end)
        });
        format!(r#"{{"eventId":"{event}","giftId":"{}","count":1{combo}}}"#, self.gift_id)
    }

    /// A `UUIDv7` (RFC 9562, 5.7) that the gift's number can always be turned into again, in the order of the numbers.
    fn event_id(&self, number: u64) -> String {
        let ms = self.began_at_ms;
        let tail = (number & 0x3f) << 42 | self.salt & 0x3ff_ffff_ffff;
        format!(
            "{:08x}-{:04x}-7{:03x}-{:04x}-{tail:012x}",
            ms >> 16 & 0xffff_ffff,
            ms & 0xffff,
            number >> 20 & 0xfff,
            0x8000 | number >> 6 & 0x3fff
        )
    }
}

/// What an answer says of a gift.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is paid.
    Acknowledged {
        /// What it cost, in the asset's smallest unit.
        total: i64,
        replayed: bool,
    },
    /// It was refused and has no effect; with the error's code.
    Refused(String),
    /// It may or may not have taken effect; with the error's code.
    Unclear(String),
}

#[derive(Deserialize)]
struct Receipt<'a> {
    #[serde(borrow)]
    total: Cow<'a, str>,
    replayed: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Problem {
    err_code: Option<u32>,
}

/// Reads an answer.
pub(super) fn verdict(status: u16, body: &[u8]) -> Verdict {
    if status == 200 {
        let receipt = serde_json::from_slice::<Receipt<'_>>(body).ok();
        let total = receipt.as_ref().and_then(|receipt| receipt.total.parse().ok());
        return match (receipt, total) {
            (Some(Receipt { replayed, .. }), Some(total)) => Verdict::Acknowledged { total, replayed },
            _ => Verdict::Unclear("unreadable receipt".into()),
        };
    }
    let code = serde_json::from_slice::<Problem>(body).ok().and_then(|problem| problem.err_code);
    let code = code.map_or_else(|| format!("status {status}"), |code| code.to_string());
    if (400..500).contains(&status) { Verdict::Refused(code) } else { Verdict::Unclear(code) }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Combo;
    use super::*;
    use crate::domain::EventId;

    fn cast() -> Cast {
        Cast {
            authority: "localhost:1".into(),
            gift_id: "2002".into(),
            rooms: vec![7],
            viewers: vec![1001],
            tokens: vec!["abc".into()],
            began_at_ms: 0x0192_f3c1_7d2a,
            salt: 0xfeed,
        }
    }

    #[test]
    fn event_ids_are_uuids_of_version_7_distinct_and_in_the_order_of_the_gifts() {
        let ids: Vec<String> = (0..200_000).map(|number| cast().event_id(number)).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        for id in ids.iter().step_by(9_999) {
            assert_eq!(uuid::Uuid::parse_str(id).unwrap().get_version_num(), 7);
            assert_eq!(EventId::new(id).unwrap().made_at_ms(), Some(0x0192_f3c1_7d2a));
        }
    }

    #[test]
    fn a_request_has_a_json_body_of_the_length_that_its_head_says() {
        let mut request = Vec::new();
        let gift = Gift { number: 3, viewer: 0, room: 0, combo: Some(Combo { first: 1, end: true }) };
        cast().write(&gift, &mut request);
        let text = String::from_utf8(request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /v1/rooms/7/gifts HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["comboEnd"], &body["giftId"]), (&true.into(), &"2002".into()));
    }

    #[test]
    fn an_answer_says_whether_a_gift_is_paid_refused_or_unclear() {
        let paid = br#"{"eventId":"e","giftId":"2002","count":1,"total":"10","balance":"990","replayed":true}"#;
        assert_eq!(verdict(200, paid), Verdict::Acknowledged { total: 10, replayed: true });
        assert_eq!(verdict(402, br#"{"errCode":20001,"status":402}"#), Verdict::Refused("20001".into()));
        assert_eq!(verdict(503, br#"{"errCode":40004}"#), Verdict::Unclear("40004".into()));
        assert_eq!(verdict(502, b"<html>"), Verdict::Unclear("status 502".into()));
        assert_eq!(verdict(200, b"{}"), Verdict::Unclear("unreadable receipt".into()));
    }
}
