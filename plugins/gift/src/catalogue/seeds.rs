//! The gifts that a new installation has.

use greenroom_sdk::{Amount, Id};

use super::{GOLD, Gift, gold_coin};
use crate::rules::SendRule;

/// Id, name, price in gold coins, category, and the level that a sender needs.
const SEEDS: [(i64, &str, i64, &str, Option<u32>); 12] = [
    (2001, "Heart", 1, "basic", None),
    (2002, "Rose", 10, "basic", None),
    (2003, "Cheers", 20, "basic", None),
    (2004, "Applause", 50, "basic", None),
    (2005, "Bouquet", 99, "classic", None),
    (2006, "Microphone", 199, "classic", None),
    (2007, "Crown", 520, "classic", None),
    (2008, "Fireworks", 999, "effects", None),
    (2009, "Hot-air balloon", 1_314, "effects", None),
    (2010, "Sports car", 5_200, "luxury", None),
    (2011, "Castle", 13_140, "luxury", Some(5)),
    (2012, "Rocket", 52_000, "luxury", Some(10)),
];

/// All of them.
pub(super) fn gifts() -> impl Iterator<Item = Gift> {
    SEEDS.into_iter().filter_map(|(gift_id, name, price, category, min_level)| {
        Some(Gift {
            gift_id: Id::new(gift_id)?,
            name: name.into(),
            asset_type: GOLD,
            price: Amount::new(price),
            unit: gold_coin(),
            category: category.into(),
            icon_url: format!("/assets/gifts/{gift_id}.png"),
            effects_url: format!("/assets/gifts/{gift_id}.json"),
            send_rule: SendRule { min_level, ..SendRule::default() },
        })
    })
}
