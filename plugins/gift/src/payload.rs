//! What a sent gift tells the settling side: everything that the books need, as it was when the gift was sent, so that later
//! changes of price, configuration or streamers do not matter. JSON, because it is also what an auditor reads.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The payload of an event of the topic `gift.sent`, and the `record` of its books. Room, payer, time and the sum held travel
/// beside it. Fields are added, never changed: another version of the plugin may read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Payload<'a> {
    #[serde(borrow)]
    pub(crate) stream_id: Cow<'a, str>,
    pub(crate) gift_id: i64,
    /// The price of one.
    pub(crate) unit: i64,
    /// For each receiver.
    pub(crate) count: u32,
    pub(crate) receivers: Vec<i64>,
    /// The platform's share, in basis points.
    pub(crate) share_bps: u32,
    /// Points for each unit spent.
    pub(crate) points_rate: u32,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) combo_id: Option<Cow<'a, str>>,
}
