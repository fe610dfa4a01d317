//! What may be sent, what it costs, and who gets what. Pure: no host, no clock.

use greenroom_sdk::{Amount, Id, Overflow, Role, config, stored};

/// The receivers of one gift at most; with it an event's books stay well below the ledger's bounds.
pub(crate) const RECEIVERS_MAX: usize = 32;

/// The plugin's configuration in a room.
#[config]
pub(crate) struct Config {
    /// The platform's share of each gift in basis points; the streamer gets the rest.
    #[default(3_000)]
    #[schemars(range(max = 10_000))]
    pub(crate) platform_share_bps: u32,
    /// Points that a viewer gets for each unit spent; 0 for none.
    #[default(1)]
    #[schemars(range(max = 1_000_000))]
    pub(crate) points_per_coin: u32,
    /// A combo ends when no hit came for so long.
    #[default(5_000)]
    #[schemars(range(min = 1_000, max = 60_000))]
    pub(crate) combo_window_ms: u32,
    /// The gifts that can be sent in this room; empty for all.
    #[schemars(length(max = 1_000))]
    pub(crate) allowed_gifts: Vec<Id>,
    /// The most of one gift in one request.
    #[default(9_999)]
    #[schemars(range(min = 1, max = 999_999))]
    pub(crate) max_count: u32,
    /// How many requests a viewer may make in a minute; 0 for no cap.
    #[schemars(range(max = 1_000_000))]
    pub(crate) per_minute_cap: u32,
}

/// A gift's own conditions, as the catalogue has them. Left out means no condition.
#[derive(Default, Eq)]
#[stored]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SendRule {
    /// Only in these rooms; empty for everywhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1_000))]
    pub(crate) rooms: Vec<Id>,
    /// Only by these; empty for everybody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) roles: Vec<Sender>,
    /// The sender's level, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub(crate) min_level: Option<u32>,
    /// At most so many in one request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 999_999))]
    pub(crate) max_count: Option<u32>,
    /// At most so many requests with this gift by one viewer in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) per_minute: Option<u32>,
}

/// A role, as a send rule names it.
#[derive(Copy, Eq)]
#[stored]
pub(crate) enum Sender {
    /// Watches, and pays.
    Viewer,
    /// Runs the room.
    Streamer,
    /// Operates the platform.
    Operator,
    /// Another program.
    Service,
}

impl From<Role> for Sender {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Streamer => Self::Streamer,
            Role::Operator => Self::Operator,
            Role::Service => Self::Service,
        }
    }
}

/// What a send rule looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) room_id: i64,
    pub(crate) gift_id: Id,
    pub(crate) sender: Sender,
    pub(crate) level: u32,
    pub(crate) count: u32,
}

/// Why a gift may not be sent, in order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The room's configuration leaves it out.
    NotInRoom,
    /// The gift is for other rooms.
    OtherRooms,
    /// The gift is for other roles.
    Role,
    /// The sender's level is too low; what is needed.
    Level(u32),
    /// Too many at once; the most.
    Count(u32),
}

/// Whether the gift can be sent in the room at all.
pub(crate) fn check_room(config: &Config, rule: &SendRule, gift_id: Id, room_id: i64) -> Result<(), Refusal> {
    if !config.allowed_gifts.is_empty() && !config.allowed_gifts.contains(&gift_id) {
        return Err(Refusal::NotInRoom);
    }
    if !rule.rooms.is_empty() && !rule.rooms.iter().any(|room| room.get() == room_id) {
        return Err(Refusal::OtherRooms);
    }
    Ok(())
}

/// Whether this sender may send so many. The first reason in the order of [`Refusal`].
pub(crate) fn check(config: &Config, rule: &SendRule, attempt: Attempt) -> Result<(), Refusal> {
    check_room(config, rule, attempt.gift_id, attempt.room_id)?;
    if !rule.roles.is_empty() && !rule.roles.contains(&attempt.sender) {
        return Err(Refusal::Role);
    }
    if let Some(level) = rule.min_level.filter(|&level| attempt.level < level) {
        return Err(Refusal::Level(level));
    }
    let count_max = rule.max_count.map_or(config.max_count, |max| max.min(config.max_count));
    if attempt.count > count_max {
        return Err(Refusal::Count(count_max));
    }
    Ok(())
}

/// What a gift costs: for each receiver, and together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) each: Amount,
    pub(crate) total: Amount,
}

/// Price × count × receivers.
///
/// # Errors
/// If it does not fit in 64 bits.
pub(crate) fn cost(unit: Amount, count: u32, receivers: usize) -> Result<Cost, Overflow> {
    let each = unit.times(i64::from(count))?;
    let total = each.times(i64::try_from(receivers).map_err(|_| Overflow)?)?;
    Ok(Cost { each, total })
}

/// Who gets what of a gift. `receivers × to_receiver + to_platform` is the total, exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    pub(crate) total: Amount,
    pub(crate) to_receiver: Amount,
    pub(crate) to_platform: Amount,
    pub(crate) points: Amount,
}

/// Shares a gift out. The platform's share of each receiver's part is rounded down, and the receiver gets the rest.
///
/// # Errors
/// If something does not fit in 64 bits, or there are more than 10,000 basis points.
pub(crate) fn share(
    unit: Amount,
    count: u32,
    receivers: usize,
    share_bps: u32,
    points_rate: u32,
) -> Result<Shares, Overflow> {
    let Cost { each, total } = cost(unit, count, receivers)?;
    let (platform_each, to_receiver) = each.split_bps(share_bps)?;
    let to_platform = platform_each.times(i64::try_from(receivers).map_err(|_| Overflow)?)?;
    Ok(Shares { total, to_receiver, to_platform, points: total.times(i64::from(points_rate))? })
}

#[cfg(test)]
mod tests;
