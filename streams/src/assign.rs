//! Who owns what in a group: the same rule for every backend of ours.

use std::ops::Range;

/// The partitions, of `0..partitions`, that member number `index` of `members` owns: contiguous ranges whose sizes
/// differ by one at most. Members are numbered by their sorted ids, so all of them come to the same answer.
pub fn assign(index: usize, members: usize, partitions: u32) -> Range<u32> {
    let (index, members) = (index as u64, members.max(1) as u64);
    let at = |i: u64| u32::try_from(i * u64::from(partitions) / members).unwrap_or(partitions);
    at(index)..at(index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_one_owner() {
        for members in 1..10 {
            for partitions in 0..20 {
                let owned: Vec<u32> = (0..members).flat_map(|i| assign(i, members, partitions)).collect();
                assert_eq!(owned, (0..partitions).collect::<Vec<_>>(), "{members} members");
            }
        }
    }
}
