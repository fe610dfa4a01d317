//! What each share is worth: pure, computed from the secret and what is public, by everybody alike.
//!
//! Equal shares are `amount / shares`. Random ones are a **uniform composition**: of all ways to write the amount as a sum of so many numbers
//! of 1 or more, in their order, each is as likely as the others. So every number has the same distribution, with the mean
//! `amount / shares`; who comes first has no advantage. A share is `k` or more with the probability
//! `C(amount - k, shares - 1) / C(amount - 1, shares - 1)`: with many shares about one in seven is more than twice the mean.
//!
//! Between the coins there are `amount - 1` places; `shares - 1` different ones are cut (Floyd's choice: Bentley and Floyd 1987, so
//! that a great amount costs no more than a small one), and the shares are the pieces in their order:
//! 1. `digest` is that of the list `packetId`, `kind`, `amount`, `shares`; the numbers come from the secret's stream over it
//!    (`greenroom_sdk::fair`).
//! 2. For each `top` from `amount - shares + 1` to `amount - 1`: `cut = 1 + (number below top)`; if there is such a cut, cut at `top` in its place.
//! 3. With the cuts in ascending order between 0 and the amount, share `n` is cut `n` less cut `n - 1`.

use std::collections::BTreeSet;

use greenroom_sdk::Amount;
use greenroom_sdk::fair::{Digest, Secret, Stream};

use crate::definition::{Definition, Kind};

/// The shares of a packet, the first who comes gets the first; none if the definition is one that `rules` would have refused.
pub(crate) fn of(definition: &Definition, secret: &Secret) -> Vec<Amount> {
    let &Definition { kind, amount, shares, .. } = definition;
    let Ok(amount) = u64::try_from(amount.get()) else { return Vec::new() };
    let pieces = match kind {
        Kind::Equal => equal(amount, shares),
        Kind::Random => random(amount, shares, &mut secret.stream(digest(definition))),
    };
    pieces.into_iter().map(|piece| Amount::new(i64::try_from(piece).unwrap_or(0))).collect()
}

/// What the shares depend on, beside the secret.
fn digest(definition: &Definition) -> Digest {
    let kind = match definition.kind {
        Kind::Equal => "equal",
        Kind::Random => "random",
    };
    let Definition { packet_id, amount, shares, .. } = definition;
    Digest::of([packet_id.to_string(), kind.into(), amount.to_string(), shares.to_string()])
}

fn equal(amount: u64, shares: u32) -> Vec<u64> {
    let is_even = amount.checked_rem(shares.into()) == Some(0);
    let each = amount.checked_div(shares.into()).filter(|each| is_even && *each > 0);
    each.map(|each| vec![each; shares as usize]).unwrap_or_default()
}

fn random(amount: u64, shares: u32, stream: &mut Stream) -> Vec<u64> {
    let (Some(first), 1..) = (amount.checked_sub(shares.into()), shares) else { return Vec::new() };
    let mut cuts = BTreeSet::new();
    for top in first.saturating_add(1)..amount {
        let cut = stream.below(top).saturating_add(1);
        if !cuts.insert(cut) {
            cuts.insert(top);
        }
    }
    let mut before = 0;
    let piece = |cut: u64| cut.saturating_sub(std::mem::replace(&mut before, cut));
    cuts.into_iter().chain([amount]).map(piece).collect()
}

#[cfg(test)]
mod tests;
