//! The catalogue: which gifts there are and what they cost.
//!
//! Each instance remembers it and looks again after [`FRESH_MS`]. The look asks for a stamp, which hosts keep in memory until a gift is
//! changed on any of them, so it hardly ever reaches the database; the rows are only read if something changed. Every process sees a
//! change within a second, as a rule at once. If the database does not answer, the remembered catalogue goes on being used. A gift is
//! never removed: what was sent must stay known.

mod seeds;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use greenroom_sdk::{
    Amount, Body, Id, Now, Path, Problem, Query, Room, answer, clocks, db, logging, positive_amount, read_json,
    request, route,
};

use crate::rules::{self, Config, SendRule};

/// How old the remembered catalogue may be.
const FRESH_MS: u64 = 50;

/// The currency of a gift whose price names none: gold coins.
pub(crate) const GOLD: u32 = 1;

/// One gift.
#[derive(Eq)]
#[answer]
pub(crate) struct Gift {
    pub(crate) gift_id: Id,
    pub(crate) name: String,
    pub(crate) asset_type: u32,
    pub(crate) price: Amount,
    pub(crate) unit: String,
    pub(crate) category: String,
    pub(crate) icon_url: String,
    pub(crate) effects_url: String,
    pub(crate) send_rule: SendRule,
}

/// What an operator may say of a gift.
#[request]
pub(crate) struct Change {
    #[schemars(length(min = 1, max = 64))]
    name: String,
    /// The currency of the price; it stays as it was first given.
    #[serde(default = "gold")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    asset_type: u32,
    #[schemars(schema_with = "positive_amount")]
    price: Amount,
    /// What the price is shown in.
    #[serde(default = "gold_coin")]
    #[schemars(length(max = 32))]
    unit: String,
    #[serde(default = "basic")]
    #[schemars(length(min = 1, max = 32))]
    category: String,
    #[serde(default)]
    #[schemars(length(max = 512))]
    icon_url: String,
    #[serde(default)]
    #[schemars(length(max = 512))]
    effects_url: String,
    #[serde(default)]
    send_rule: SendRule,
}

pub(crate) fn gold() -> u32 {
    GOLD
}

fn gold_coin() -> String {
    "gold coin".into()
}

fn basic() -> String {
    "basic".into()
}

#[derive(Debug, Default)]
struct Remembered {
    gifts: BTreeMap<Id, Rc<Gift>>,
    stamp: Option<i64>,
    looked_at_ms: u64,
}

thread_local! {
    static REMEMBERED: RefCell<Remembered> = RefCell::default();
}

/// The gift of that id, as old as [`FRESH_MS`] and what the host remembers.
pub(crate) fn find(gift_id: Id, now_ms: u64) -> Result<Option<Rc<Gift>>, Problem> {
    with_fresh(now_ms, |gifts| gifts.get(&gift_id).cloned())
}

fn with_fresh<T>(now_ms: u64, read: impl FnOnce(&BTreeMap<Id, Rc<Gift>>) -> T) -> Result<T, Problem> {
    REMEMBERED.with(|cell| {
        let mut remembered = cell.borrow_mut();
        let is_fresh = remembered.looked_at_ms <= now_ms && now_ms - remembered.looked_at_ms < FRESH_MS;
        if remembered.stamp.is_none() || !is_fresh {
            let refreshed = refresh(&mut remembered);
            // After a failure too: a database that does not answer is not asked by every request.
            remembered.looked_at_ms = now_ms;
            match refreshed {
                Ok(()) => {}
                Err(problem) if remembered.stamp.is_none() => return Err(problem),
                Err(problem) => {
                    logging::log(logging::Level::Warn, "catalogue", &format!("an old one is used: {}", problem.detail));
                }
            }
        }
        Ok(read(&remembered.gifts))
    })
}

/// Reads the stamp first: rows that change in between are read again the next time.
fn refresh(remembered: &mut Remembered) -> Result<(), Problem> {
    let stamp = match db::query("catalogue-stamp", &[])?.first().map(Vec::as_slice) {
        Some([db::Value::Integer(stamp)]) => *stamp,
        other => return Err(Problem::failed(format!("the catalogue's stamp is {other:?}"))),
    };
    if remembered.stamp == Some(stamp) {
        return Ok(());
    }
    let mut gifts = BTreeMap::new();
    for row in db::query("catalogue", &[])? {
        let gift = Gift::from_row(row).map_err(|e| Problem::failed(format!("catalogue: {e}")))?;
        gifts.insert(gift.gift_id, Rc::new(gift));
    }
    *remembered = Remembered { gifts, stamp: Some(stamp), looked_at_ms: remembered.looked_at_ms };
    Ok(())
}

impl Gift {
    /// From the columns of the statement `catalogue`.
    fn from_row(row: Vec<db::Value>) -> Result<Self, String> {
        use db::Value::{Integer, Text};
        let columns: [db::Value; 9] = row.try_into().map_err(|row: Vec<_>| format!("{} columns", row.len()))?;
        let [
            Integer(gift_id),
            Text(name),
            Integer(asset_type),
            Integer(price),
            Text(unit),
            Text(category),
            Text(icon_url),
            Text(effects_url),
            Text(send_rule),
        ] = columns
        else {
            return Err("a column is of another kind".into());
        };
        Ok(Self {
            gift_id: Id::new(gift_id).ok_or_else(|| format!("gift id {gift_id}"))?,
            name,
            asset_type: u32::try_from(asset_type).map_err(|_| format!("gift {gift_id}: asset type {asset_type}"))?,
            price: if price > 0 { Amount::new(price) } else { return Err(format!("gift {gift_id}: price {price}")) },
            unit,
            category,
            icon_url,
            effects_url,
            send_rule: read_json(send_rule.as_bytes()).map_err(|e| format!("gift {gift_id}: send rule: {e}"))?,
        })
    }

    /// The parameters of `seed-gift` and `put-gift`.
    fn to_params(&self, now_ms: u64) -> Result<Vec<db::Value>, Problem> {
        use db::Value::{Integer, Text};
        let rule = serde_json::to_string(&self.send_rule).map_err(|e| Problem::failed(e.to_string()))?;
        Ok(vec![
            Integer(self.gift_id.get()),
            Text(self.name.clone()),
            Integer(i64::from(self.asset_type)),
            Integer(self.price.get()),
            Text(self.unit.clone()),
            Text(self.category.clone()),
            Text(self.icon_url.clone()),
            Text(self.effects_url.clone()),
            Text(rule),
            Integer(i64::try_from(now_ms).unwrap_or(i64::MAX)),
        ])
    }
}

/// No parameters of the query: others are refused.
#[request]
pub(crate) struct Nothing {}

/// By id, and their categories in order of appearance.
#[answer]
pub(crate) struct Listed {
    gifts: Vec<Rc<Gift>>,
    categories: Vec<String>,
}

/// Lists the gifts that can be sent in the room.
#[route(GET "gifts")]
pub(crate) fn list(_: Query<Nothing>, Now(now_ms): Now, room: Room<Config>) -> Result<Listed, Problem> {
    with_fresh(now_ms, |all| {
        let sendable =
            |gift: &&Rc<Gift>| rules::check_room(&room.config, &gift.send_rule, gift.gift_id, room.room_id).is_ok();
        let gifts: Vec<Rc<Gift>> = all.values().filter(sendable).cloned().collect();
        let mut categories = Vec::new();
        for gift in &gifts {
            if !categories.contains(&gift.category) {
                categories.push(gift.category.clone());
            }
        }
        Listed { gifts, categories }
    })
}

/// Adds a gift to the catalogue or changes it; every process sees it within a second.
#[route(PUT "gifts/{giftId}", global, roles(operator))]
pub(crate) fn put(Body(change): Body<Change>, Path(gift_id): Path<Id>, Now(now_ms): Now) -> Result<Gift, Problem> {
    let gift = change.into_gift(gift_id)?;
    let step = db::Step { statement: "put-gift".into(), params: gift.to_params(now_ms)?, expected_rows: Some(1) };
    match db::transact(&[step]) {
        Ok(_) => {}
        Err(db::Error::UnexpectedRows(_)) => {
            return Err(Problem::invalid("body: `assetType` of a gift cannot be changed; make another gift"));
        }
        Err(error) => return Err(error.into()),
    }
    REMEMBERED.with(|cell| cell.borrow_mut().looked_at_ms = 0);
    Ok(gift)
}

impl Change {
    fn into_gift(self, gift_id: Id) -> Result<Gift, Problem> {
        let texts = [
            ("name", &self.name, 1, 64),
            ("unit", &self.unit, 0, 32),
            ("category", &self.category, 1, 32),
            ("iconUrl", &self.icon_url, 0, 512),
            ("effectsUrl", &self.effects_url, 0, 512),
        ];
        for (field, text, least, most) in texts {
            if !(least..=most).contains(&text.chars().count()) {
                return Err(Problem::invalid(format!("body: `{field}` must have {least} to {most} characters")));
            }
        }
        if self.price <= Amount::ZERO {
            return Err(Problem::invalid("body: `price` must be 1 or more"));
        }
        if self.asset_type == 0 || i32::try_from(self.asset_type).is_err() {
            return Err(Problem::invalid("body: `assetType` must be from 1 to 2147483647"));
        }
        let Self { name, asset_type, price, unit, category, icon_url, effects_url, send_rule } = self;
        Ok(Gift { gift_id, name, asset_type, price, unit, category, icon_url, effects_url, send_rule })
    }
}

/// Puts the first gifts into an installation that does not have them; what an operator changed stays.
pub(crate) fn seed() -> Result<(), Problem> {
    let now = clocks::wall_clock::now();
    let now_ms = now.seconds * 1_000 + u64::from(now.nanoseconds / 1_000_000);
    let mut steps = Vec::new();
    for gift in seeds::gifts() {
        let params = gift.to_params(now_ms)?;
        steps.push(db::Step { statement: "seed-gift".into(), params, expected_rows: None });
    }
    db::transact(&steps).map(|_| ()).map_err(|e| Problem::failed(format!("the first gifts cannot be written: {e}")))
}

#[cfg(test)]
mod tests;
