//! What a lottery may be, and how its money is shared: pure.

use std::collections::BTreeMap;

use greenroom_sdk::{Amount, EventId, Id, Problem, positive_amount, stored};

use crate::PLATFORM;
use crate::draw::Win;

/// Prizes of all tiers together.
const STOCK_MAX: u32 = 1_000;

/// What somebody asks for who makes a lottery.
#[stored]
#[serde(deny_unknown_fields)]
pub(crate) struct Definition {
    pub(crate) event_id: EventId,
    #[schemars(length(min = 1, max = 100))]
    pub(crate) title: String,
    pub(crate) entry: Entry,
    /// How often a viewer may enter; each time is a chance.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub(crate) chances_per_viewer: u32,
    /// How many prizes a viewer may win.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub(crate) wins_per_viewer: u32,
    /// The tiers of prizes.
    #[schemars(length(min = 1, max = 20))]
    pub(crate) prizes: Vec<Prize>,
    /// The weight of winning nothing, beside those of the tiers.
    #[serde(default)]
    pub(crate) blank_weight: u32,
    /// Entering ends so long after the beginning; without it, by hand or when all chances are taken.
    #[schemars(range(min = 5, max = 604_800))]
    pub(crate) closes_in_s: Option<u32>,
    /// Entering ends when so many chances are taken.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) chances_max: Option<u32>,
}

/// How viewers enter.
#[derive(Eq)]
#[stored]
#[serde(deny_unknown_fields, tag = "kind")]
pub(crate) enum Entry {
    /// By a click.
    Free {},
    /// By saying the word in the chat: a message that has it as a word of its own, in whatever case.
    Keyword {
        #[schemars(length(min = 1, max = 50))]
        word: String,
    },
    /// By a gift: this one, or any that costs as much at least. Each such gift is a chance, however many were sent at once.
    Gift {
        gift_id: Option<Id>,
        #[serde(default)]
        #[schemars(schema_with = "positive_amount")]
        min_spend: Option<Amount>,
    },
    /// By tickets of this price.
    Ticket {
        #[schemars(schema_with = "positive_amount")]
        price: Amount,
    },
}

/// A tier.
#[stored]
#[serde(deny_unknown_fields)]
pub(crate) struct Prize {
    #[schemars(length(min = 1, max = 100))]
    pub(crate) name: String,
    /// How many there are.
    #[schemars(range(min = 1, max = 1_000))]
    pub(crate) stock: u32,
    /// How likely it is, beside the other tiers that have some left.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) weight: u32,
    /// What each pays; without it, the streamer hands it over.
    #[serde(default)]
    #[schemars(schema_with = "positive_amount")]
    pub(crate) coins: Option<Amount>,
}

fn one() -> u32 {
    1
}

impl Entry {
    /// For people.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Free {} => "a click",
            Self::Keyword { .. } => "a word in the chat",
            Self::Gift { .. } => "a gift",
            Self::Ticket { .. } => "a ticket",
        }
    }

    /// Whether a message of the chat enters.
    pub(crate) fn is_said(&self, text: &str) -> bool {
        let Self::Keyword { word } = self else { return false };
        let word = word.to_lowercase();
        text.to_lowercase().split(|c: char| !c.is_alphanumeric()).any(|said| said == word)
    }

    /// Whether a gift enters.
    pub(crate) fn is_given(&self, gift_id: i64, spent: i64) -> bool {
        let Self::Gift { gift_id: wanted, min_spend } = self else { return false };
        wanted.is_none_or(|wanted| wanted.get() == gift_id) && min_spend.is_none_or(|least| spent >= least.get())
    }
}

impl Definition {
    /// What the schema cannot say.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let stock = self.prizes.iter().fold(0_u32, |sum, prize| sum.saturating_add(prize.stock));
        if stock > STOCK_MAX {
            let detail = format!("body: `prizes`: all stock together is {stock}; it may be up to {STOCK_MAX}");
            return Err(Problem::invalid(detail));
        }
        match &self.entry {
            Entry::Keyword { word } if !word.chars().all(char::is_alphanumeric) => {
                Err(Problem::invalid("body: `entry.word` must be one word of letters and digits"))
            }
            Entry::Gift { gift_id: None, min_spend: None } => {
                Err(Problem::invalid("body: `entry` needs a `giftId` or a `minSpend`"))
            }
            _ => self.fund().map(drop),
        }
    }

    /// The coins of all prizes.
    pub(crate) fn fund(&self) -> Result<Amount, Problem> {
        let coins = self.prizes.iter().filter_map(|prize| prize.coins.map(|coins| (prize.stock, coins)));
        let sum =
            coins.into_iter().try_fold(Amount::ZERO, |sum, (stock, coins)| sum.plus(coins.times(i64::from(stock))?));
        sum.map_err(|_| Problem::invalid("body: `prizes`: the coins together do not fit in 64 bits"))
    }

    /// What a ticket costs; 0 where there are none.
    pub(crate) fn price(&self) -> Amount {
        match self.entry {
            Entry::Ticket { price } => price,
            _ => Amount::ZERO,
        }
    }

    /// What a tier pays.
    fn coins(&self, tier: u32) -> Amount {
        let prize = usize::try_from(tier).ok().and_then(|tier| self.prizes.get(tier));
        prize.and_then(|prize| prize.coins).unwrap_or(Amount::ZERO)
    }
}

/// How the tickets' money is shared.
#[stored]
pub(crate) struct Shares {
    pub(crate) platform_bps: u32,
    pub(crate) streamers: Vec<i64>,
}

/// Who gets how much of the pot, all of it: winners their prizes, streamers and platform the tickets, the maker what is left of the
/// prizes. `chances` are tickets where there are some.
pub(crate) fn payments(
    definition: &Definition,
    maker: i64,
    wins: &[Win],
    chances: i64,
    shares: &Shares,
) -> Result<BTreeMap<i64, Amount>, Problem> {
    let mut payments = Payments::default();
    let mut left = definition.fund()?;
    for win in wins {
        let coins = definition.coins(win.tier);
        left = left.minus(coins)?;
        payments.add(win.user_id, coins)?;
    }
    payments.add(maker, left)?;
    let (to_platform, to_streamers) = definition.price().times(chances)?.split_bps(shares.platform_bps)?;
    let count = i64::try_from(shares.streamers.len()).unwrap_or(i64::MAX).max(1);
    let each = Amount::new(to_streamers.get() / count);
    for streamer in &shares.streamers {
        payments.add(*streamer, each)?;
    }
    let paid = each.times(i64::try_from(shares.streamers.len()).unwrap_or(0))?;
    payments.add(PLATFORM, to_platform.plus(to_streamers.minus(paid)?)?)?;
    Ok(payments.0)
}

#[derive(Default)]
struct Payments(BTreeMap<i64, Amount>);

impl Payments {
    fn add(&mut self, user_id: i64, amount: Amount) -> Result<(), Problem> {
        if amount != Amount::ZERO {
            let sum = self.0.entry(user_id).or_insert(Amount::ZERO);
            *sum = sum.plus(amount)?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
