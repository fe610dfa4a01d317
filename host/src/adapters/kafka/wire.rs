//! An event as a message of Kafka: one byte that tells the version, then the record in postcard. The message's key is the event's key.

use std::sync::Arc;

use rdkafka::Message;

use crate::adapters::event_record::EventRecord;
use crate::domain::{Event, EventId};

/// The only version so far.
const VERSION: u8 = 1;

/// Writes an event into a buffer, in the place of what was there.
pub(super) fn encode(event: &Event, bytes: &mut Vec<u8>) -> Result<(), postcard::Error> {
    bytes.clear();
    bytes.push(VERSION);
    postcard::to_io(&EventRecord::of(event), &mut *bytes).map(|_| ())
}

/// Reads an event of a topic; the error says what is wrong with the bytes.
pub(super) fn decode(bytes: &[u8], topic: &Arc<str>) -> Result<Event, String> {
    let (version, content) = bytes.split_first().ok_or("it is empty")?;
    if *version != VERSION {
        return Err(format!("it has version {version}, and this host reads {VERSION}"));
    }
    let record: EventRecord<'_> = postcard::from_bytes(content).map_err(|error| error.to_string())?;
    if record.topic != &**topic {
        return Err(format!("it was written for the topic {}", record.topic));
    }
    record.event(Arc::clone(topic)).map_err(|error| error.to_string())
}

/// What stands for a message that cannot be read: its bytes, under an id that tells its place.
pub(super) fn unreadable(message: &impl Message, topic: &Arc<str>) -> Option<Event> {
    let id = format!("unreadable:{}:{}", message.partition(), message.offset());
    Some(Event {
        event_id: EventId::new(&id).ok()?,
        topic: Arc::clone(topic),
        key: String::from_utf8_lossy(message.key().unwrap_or_default()).into(),
        room_id: None,
        at_ms: message.timestamp().to_millis().and_then(|at_ms| u64::try_from(at_ms).ok()).unwrap_or(0),
        held: None,
        payload: bytes::Bytes::copy_from_slice(message.payload().unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::{Account, Amount, AssetType, ContentDigest, Held, Outcome, RoomId, UserId};

    fn event() -> Event {
        let payer = Account { user_id: UserId(7), asset_type: AssetType(1) };
        let outcome = Outcome { amount: Amount(5), balance: Amount(95), counters: vec![1, -2] };
        Event {
            event_id: EventId::new("e1").unwrap(),
            topic: "gift.sent".into(),
            key: "7".into(),
            room_id: Some(RoomId(9)),
            at_ms: 1_720_000_000_000,
            held: Some(Held { payer, digest: ContentDigest([3; 16]), outcome }),
            payload: Bytes::from_static(b"{}"),
        }
    }

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let mut bytes = vec![9; 99];
        encode(&event(), &mut bytes).unwrap();
        assert_eq!(decode(&bytes, &"gift.sent".into()), Ok(event()));
    }

    #[test]
    fn what_is_no_event_of_the_topic_is_told_from_one() {
        let mut bytes = Vec::new();
        encode(&event(), &mut bytes).unwrap();
        assert!(decode(&bytes, &"gift.given".into()).unwrap_err().contains("gift.sent"));
        assert!(decode(&bytes[..bytes.len() - 1], &"gift.sent".into()).is_err());
        assert!(decode(&[], &"gift.sent".into()).is_err());
        bytes[0] = 2;
        assert!(decode(&bytes, &"gift.sent".into()).unwrap_err().contains("version 2"));
    }
}
