//! A bit for each entry of a directory: seen or not.

/// So many bits as were asked for, and more if one behind them is set.
#[derive(Clone, Debug, Default)]
pub struct Bits {
    words: Vec<u64>,
    count: u64,
}

impl Bits {
    /// Holds `count` bits from now on, none of which is set.
    pub fn reset(&mut self, count: u64) {
        self.words.clear();
        self.words.resize(count.div_ceil(64) as usize, 0);
        self.count = count;
    }

    /// Sets a bit; `true` if it was set before.
    pub fn set(&mut self, bit: u64) -> bool {
        if bit >= self.count {
            self.count = bit + 1;
            self.words.resize(self.count.div_ceil(64) as usize, 0);
        }
        let (word, mask) = (&mut self.words[(bit / 64) as usize], 1 << (bit % 64));
        let before = *word & mask != 0;
        *word |= mask;
        before
    }

    pub fn get(&self, bit: u64) -> bool {
        self.words.get((bit / 64) as usize).is_some_and(|word| word & (1 << (bit % 64)) != 0)
    }

    /// Returns the bits below the count that are not set.
    pub fn unset(&self) -> impl Iterator<Item = u64> {
        ones(self.words.iter().map(|word| !word)).take_while(|bit| *bit < self.count)
    }

    /// Returns the bits that both have set.
    pub fn common<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u64> + 'a {
        ones(self.words.iter().zip(&other.words).map(|(a, b)| a & b))
    }

    /// Sets what the other has set.
    pub fn join(&mut self, other: &Self) {
        if other.count > self.count {
            self.words.resize(other.words.len(), 0);
            self.count = other.count;
        }
        self.words.iter_mut().zip(&other.words).for_each(|(word, more)| *word |= more);
    }
}

/// Returns the places of the ones in a row of words.
fn ones(words: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
    words.zip(0_u64..).flat_map(|(mut word, number)| {
        std::iter::from_fn(move || {
            let bit = word.trailing_zeros();
            // Takes the lowest one away.
            word &= word.wrapping_sub(1);
            (bit < 64).then(|| number * 64 + u64::from(bit))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_set_once_and_those_that_are_not_are_told() {
        let mut bits = Bits::default();
        bits.reset(130);
        assert!(![0, 63, 64, 129].map(|bit| bits.set(bit)).contains(&true));
        assert!(bits.set(64) && bits.get(63) && !bits.get(1));
        let unset: Vec<_> = bits.unset().collect();
        assert_eq!(unset.len(), 126);
        assert!(unset.iter().all(|bit| !bits.get(*bit)));
        bits.reset(3);
        assert_eq!(bits.unset().collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn rows_are_joined_and_bits_in_both_are_told() {
        let [mut a, mut b] = [Bits::default(), Bits::default()];
        [1, 70].iter().for_each(|bit| _ = a.set(*bit));
        [70, 200].iter().for_each(|bit| _ = b.set(*bit));
        assert_eq!(a.common(&b).collect::<Vec<_>>(), [70]);
        a.join(&b);
        assert!([1, 70, 200].iter().all(|bit| a.get(*bit)));
        assert_eq!(a.unset().count(), 198);
    }
}
