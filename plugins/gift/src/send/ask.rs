//! What a viewer asks for, read strictly: unknown fields, fractions, duplicates and strange characters are refused.

use greenroom_sdk::{Amount, EventId, Id, Problem, positive_amount, request};

use crate::rules::RECEIVERS_MAX;

const COMBO_ID_LEN_MAX: usize = 32;

/// The body.
#[derive(Eq)]
#[request]
pub(crate) struct Ask {
    /// Made by the client; UUIDv7 recommended.
    event_id: EventId,
    gift_id: Id,
    #[schemars(range(min = 1, max = 999_999))]
    count: u32,
    /// May be left out where the room has one streamer; each gets `count`.
    #[schemars(length(min = 1, max = RECEIVERS_MAX), extend("uniqueItems" = true))]
    to_user_ids: Option<Vec<Id>>,
    #[schemars(regex(pattern = r"^[A-Za-z0-9_.:-]{1,32}$"))]
    combo_id: Option<String>,
    #[serde(default)]
    combo_end: bool,
    /// If the gift costs another sum by now, nothing is sent.
    #[serde(default)]
    #[schemars(schema_with = "positive_amount")]
    expected_total: Option<Amount>,
}

impl Ask {
    /// What was asked for, checked; receivers are in ascending order.
    pub(super) fn checked(self) -> Result<Self, Problem> {
        let mut ask = self;
        if ask.count == 0 {
            return Err(Problem::invalid("body: `count` must be 1 or more"));
        }
        if ask.combo_id.as_deref().is_some_and(|id| !is_combo_id(id)) {
            return Err(Problem::invalid("body: `comboId` must have 1 to 32 characters of A-Z a-z 0-9 - _ . :"));
        }
        if ask.combo_end && ask.combo_id.is_none() {
            return Err(Problem::invalid("body: `comboEnd` needs a `comboId`"));
        }
        if let Some(receivers) = &mut ask.to_user_ids {
            let named = receivers.len();
            receivers.sort_unstable();
            receivers.dedup();
            if receivers.len() != named {
                return Err(Problem::invalid("body: `toUserIds` names somebody twice"));
            }
            if !(1..=RECEIVERS_MAX).contains(&named) {
                return Err(Problem::invalid(format!("body: `toUserIds` must name 1 to {RECEIVERS_MAX} streamers")));
            }
        }
        Ok(ask)
    }

    /// The canonical form of what was asked for: the same for a repetition in whatever order and notation, different for
    /// anything else. Prices are not part of it.
    pub(super) fn content(&self, room_id: i64) -> Vec<u8> {
        use std::fmt::Write;
        let mut text = format!("{room_id}|{}|{}|", self.gift_id, self.count);
        for id in self.to_user_ids.iter().flatten() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{id},");
        }
        text.push('|');
        text.push_str(self.combo_id.as_deref().unwrap_or_default());
        text.push('|');
        text.push(if self.combo_end { '1' } else { '0' });
        text.into_bytes()
    }

    pub(super) fn event_id(&self) -> &str {
        &self.event_id
    }

    pub(super) fn gift_id(&self) -> Id {
        self.gift_id
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn to_user_ids(&self) -> Option<&[Id]> {
        self.to_user_ids.as_deref()
    }

    pub(super) fn combo_id(&self) -> Option<&str> {
        self.combo_id.as_deref()
    }

    pub(super) fn is_combo_end(&self) -> bool {
        self.combo_end
    }

    pub(super) fn expected_total(&self) -> Option<Amount> {
        self.expected_total
    }
}

fn is_combo_id(text: &str) -> bool {
    EventId::new(text).is_some() && text.len() <= COMBO_ID_LEN_MAX
}

#[cfg(test)]
mod tests;
