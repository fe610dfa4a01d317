//! Which streamer a viewer gives to: few get most, as Zipf's law has it.
#![expect(clippy::float_arithmetic, reason = "weights of a random choice; no money")]

use rand::{Rng, RngExt};

/// Ranks 0 to n−1; rank k is drawn with a weight of 1 ⁄ (k + 1)^exponent.
#[derive(Debug, Clone)]
pub(super) struct Zipf {
    /// The sum of the weights up to and with each rank.
    cumulative: Vec<f64>,
}

impl Zipf {
    /// With exponent 0 all ranks are alike; at least one rank.
    pub(super) fn new(ranks: u32, exponent: f64) -> Self {
        let mut total = 0.0;
        let cumulative = (1..=ranks.max(1))
            .map(|rank| {
                total += f64::from(rank).powf(-exponent);
                total
            })
            .collect();
        Self { cumulative }
    }

    /// Draws a rank.
    pub(super) fn sample(&self, rng: &mut impl Rng) -> u32 {
        let total = self.cumulative.last().copied().unwrap_or(1.0);
        let point = rng.random::<f64>() * total;
        let rank = self.cumulative.partition_point(|sum| *sum <= point).min(self.cumulative.len().saturating_sub(1));
        u32::try_from(rank).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn counts(ranks: u32, exponent: f64) -> Vec<u32> {
        let zipf = Zipf::new(ranks, exponent);
        let mut rng = StdRng::seed_from_u64(7);
        let mut counts = vec![0; ranks as usize];
        for _ in 0..100_000 {
            counts[zipf.sample(&mut rng) as usize] += 1;
        }
        counts
    }

    #[test]
    fn the_first_of_ten_gets_its_share_of_the_harmonic_sum() {
        let counts = counts(10, 1.0);
        // 1 ⁄ H(10) = 0.3414, and the tenth a tenth of it.
        assert!((33_500..34_800).contains(&counts[0]), "{counts:?}");
        assert!((3_100..3_750).contains(&counts[9]), "{counts:?}");
        assert!(counts.windows(2).all(|pair| pair[0] > pair[1]), "{counts:?}");
    }

    #[test]
    fn with_exponent_zero_all_are_alike() {
        assert!(counts(4, 0.0).iter().all(|count| (24_300..25_700).contains(count)));
    }

    #[test]
    fn one_rank_is_always_drawn() {
        assert_eq!(counts(1, 1.1), [100_000]);
    }
}
