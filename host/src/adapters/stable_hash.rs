//! A hash that never changes: what it maps stays mapped, on every host and in every version.

/// A hash that is the same in every process and version (FNV-1a, 64 bits): what maps keys to partitions and users to buckets.
pub(in crate::adapters) fn stable_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
