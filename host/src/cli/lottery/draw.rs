//! The draw as the lottery's README has it in words. Written a second time on purpose: what verifies must not be what is verified.

use std::collections::HashMap;

use anyhow::Context;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// A drawn lottery, as the server shows it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Public {
    definition: Definition,
    commitment: String,
    closing: Closing,
    secret: String,
    pub(super) wins: Vec<Win>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    prizes: Vec<Prize>,
    blank_weight: u64,
    wins_per_viewer: u32,
}

#[derive(Deserialize)]
struct Prize {
    weight: u64,
    stock: u32,
}

#[derive(Deserialize)]
struct Closing {
    digest: String,
}

/// Who won which tier.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Win {
    user_id: String,
    tier: usize,
}

impl Public {
    /// What is not as it was promised; nothing if all is well.
    pub(super) fn faults(&self, entrants: &[(i64, u64)]) -> anyhow::Result<Vec<&'static str>> {
        let secret = unhex(&self.secret).context("the secret is not hexadecimal")?;
        let digest = digest(entrants);
        let expected = self.draw(&secret, &digest, entrants)?;
        let is_won =
            |(win, (user_id, tier)): (&Win, &(i64, usize))| win.user_id == user_id.to_string() && win.tier == *tier;
        let is_as_drawn = expected.len() == self.wins.len() && self.wins.iter().zip(&expected).all(is_won);
        let checks = [
            (hex(&Sha256::digest(&secret)) == self.commitment, "the secret is not the one that was committed to"),
            (hex(&digest) == self.closing.digest, "the list of entrants is not the one whose digest was published"),
            (is_as_drawn, "the winners are not those that the draw gives"),
        ];
        Ok(checks.into_iter().filter(|(is_so, _)| !is_so).map(|(_, fault)| fault).collect())
    }

    fn draw(&self, secret: &[u8], digest: &[u8], entrants: &[(i64, u64)]) -> anyhow::Result<Vec<(i64, usize)>> {
        let mut numbers = Numbers { secret, digest, block: 0, words: Vec::new() };
        let mut left: Vec<i64> = Vec::new();
        for (user_id, chances) in entrants {
            left.extend(std::iter::repeat_n(*user_id, usize::try_from(*chances)?));
        }
        // The first of what is left is taken from the end of a list that is turned round.
        left.reverse();
        let mut stock: Vec<u32> = self.definition.prizes.iter().map(|prize| prize.stock).collect();
        let (mut wins, mut won) = (Vec::new(), HashMap::<i64, u32>::new());
        while !left.is_empty() && stock.iter().any(|left| *left > 0) {
            let (len, last) = (left.len(), left.len() - 1);
            let chosen = last - usize::try_from(numbers.below(u64::try_from(len)?)?)?;
            left.swap(last, chosen);
            let Some(user_id) = left.pop() else { break };
            let count = won.entry(user_id).or_default();
            if *count >= self.definition.wins_per_viewer {
                continue;
            }
            if let Some(tier) = self.tier(&mut numbers, &stock)? {
                if let Some(stock) = stock.get_mut(tier) {
                    *stock -= 1;
                }
                *count += 1;
                wins.push((user_id, tier));
            }
        }
        Ok(wins)
    }

    fn tier(&self, numbers: &mut Numbers<'_>, stock: &[u32]) -> anyhow::Result<Option<usize>> {
        let tiers = self.definition.prizes.iter().zip(stock).enumerate();
        let there = tiers.filter(|(_, (_, left))| **left > 0).map(|(tier, (prize, _))| (tier, prize.weight));
        let sum = there.clone().map(|(_, weight)| weight).sum::<u64>() + self.definition.blank_weight;
        let number = numbers.below(sum)?;
        let mut end = self.definition.blank_weight;
        for (tier, weight) in there {
            let begin = end;
            end += weight;
            if (begin..end).contains(&number) {
                return Ok(Some(tier));
            }
        }
        Ok(None)
    }
}

fn digest(entrants: &[(i64, u64)]) -> Vec<u8> {
    let lines: String = entrants.iter().map(|(user_id, chances)| format!("{user_id} {chances}\n")).collect();
    Sha256::digest(lines).to_vec()
}

/// Unbiased numbers from HMAC-SHA-256 in counter mode.
struct Numbers<'a> {
    secret: &'a [u8],
    digest: &'a [u8],
    block: u64,
    /// Of the last block, the next one at the end.
    words: Vec<u64>,
}

impl Numbers<'_> {
    fn below(&mut self, n: u64) -> anyhow::Result<u64> {
        let n = u128::from(n.max(1));
        let limit = (1_u128 << 64) / n * n;
        loop {
            let word = u128::from(self.word()?);
            if word < limit {
                return Ok(u64::try_from(word % n)?);
            }
        }
    }

    fn word(&mut self) -> anyhow::Result<u64> {
        if self.words.is_empty() {
            let mut mac = Hmac::<Sha256>::new_from_slice(self.secret)?;
            mac.update(self.digest);
            mac.update(&self.block.to_be_bytes());
            let bytes = mac.finalize().into_bytes();
            let words =
                bytes.chunks_exact(8).map(|word| word.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
            self.words = words.collect();
            self.words.reverse();
            self.block += 1;
        }
        self.words.pop().context("a block has words")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use serde_json::json;

    use super::*;

    fn public() -> Public {
        // The vector of the lottery's README.
        let public = json!({
            "definition": {
                "prizes": [{ "weight": 1, "stock": 1 }, { "weight": 3, "stock": 2 }],
                "blankWeight": 1,
                "winsPerViewer": 1,
            },
            "commitment": "4bb06f8e4e3a7715d201d573d0aa423762e55dabd61a2c02278fa56cc6d294e0",
            "closing": { "digest": "7e7267a7de0f5dc78be59ab82492623edc23877e6bbf28f2e3d57ab26dc6c25f" },
            "secret": "07".repeat(32),
            "wins": [{ "userId": "1001", "tier": 1 }, { "userId": "1002", "tier": 1 }],
        });
        serde_json::from_value(public).unwrap()
    }

    const ENTRANTS: [(i64, u64); 3] = [(1_001, 1), (1_002, 2), (1_003, 1)];

    #[test]
    fn the_draw_of_the_readme_is_as_it_was_promised() {
        assert_eq!(public().faults(&ENTRANTS).unwrap(), [""; 0]);
    }

    #[test]
    fn each_lie_is_found() {
        assert_eq!(public().faults(&ENTRANTS[1..]).unwrap().len(), 2, "an entrant is missing");
        let mut other = public();
        other.wins.reverse();
        assert_eq!(other.faults(&ENTRANTS).unwrap(), ["the winners are not those that the draw gives"]);
        let other = Public { secret: "08".repeat(32), ..public() };
        assert!(other.faults(&ENTRANTS).unwrap()[0].contains("committed"));
        assert!(Public { secret: "0".into(), ..public() }.faults(&ENTRANTS).is_err());
    }
}
