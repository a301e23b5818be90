//! Whether the result files of several machines are all there are.

use crate::result::shard::ShardRecord;

/// Returns what is wrong with the shards of one run, which hold so many records together, in a sentence without its full stop;
/// `None` if they are the whole of it.
pub fn incomplete(shards: &[ShardRecord], records: usize) -> Option<String> {
    let first = shards.first()?;
    let times = |number| shards.iter().filter(|shard| shard.number == number).count();
    let numbers =
        |is: fn(usize) -> bool| (1..=first.of).filter(|n| is(times(*n))).map(|n| n.to_string()).collect::<Vec<_>>();
    let missing = numbers(|times| times == 0);
    if !missing.is_empty() {
        return Some(said(&missing, first.of, "missing, so what they were to run is not known"));
    }
    let doubled = numbers(|times| times > 1);
    if !doubled.is_empty() {
        return Some(said(&doubled, first.of, "there more than once, with different results"));
    }
    (records as u64 != first.runs)
        .then(|| format!("{records} runs are in the {} shards, which should have {}", first.of, first.runs))
}

fn said(numbers: &[String], of: u32, what: &str) -> String {
    match numbers {
        [one] => format!("shard {one} of {of} is {what}"),
        [others @ .., last] => format!("shards {} and {last} of {of} are {what}", others.join(", ")),
        [] => unreachable!("something is wrong with some"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_that_is_missing_or_doubled_is_named() {
        let shards = |numbers: &[u32]| -> Vec<_> {
            numbers.iter().map(|number| ShardRecord { number: *number, of: 4, runs: 9 }).collect()
        };
        assert_eq!(incomplete(&[], 5), None);
        assert_eq!(incomplete(&shards(&[2, 1, 4, 3]), 9), None);
        let sentence = |numbers: &[u32], records| incomplete(&shards(numbers), records).unwrap();
        assert!(sentence(&[1, 2, 4], 7).starts_with("shard 3 of 4 is missing"));
        assert!(sentence(&[4], 2).starts_with("shards 1, 2 and 3 of 4 are missing"));
        assert!(sentence(&[1, 2, 3, 4, 2], 9).starts_with("shard 2 of 4 is there more than once"));
        assert_eq!(sentence(&[1, 2, 3, 4], 8), "8 runs are in the 4 shards, which should have 9");
    }
}
