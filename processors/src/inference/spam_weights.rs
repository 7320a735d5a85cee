//! The weights that separate spam from other posts: a linear model over hashed features (`models/spam/README.md`).
//!
//! The file holds a mark, the intercept (`i32`, little-endian) and a weight for each of [`SLOTS`] slots, all in 32nds of a logit. Sums are of
//! whole numbers, so the answer is the same everywhere.

use std::sync::Arc;

/// How many slots features hash to.
pub const SLOTS: u32 = 1 << 17;

const MAGIC: &[u8] = b"VIGW\x01";

/// The weights, shared by all who judge.
#[derive(Clone, Debug)]
pub struct SpamWeights {
    intercept: i32,
    weights: Arc<[i8]>,
}

impl SpamWeights {
    /// Reads the contents of a file.
    ///
    /// # Errors
    /// What was found, and what was expected.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let body = bytes.strip_prefix(MAGIC).and_then(|rest| rest.split_first_chunk::<4>());
        match body {
            Some((intercept, weights)) if weights.len() == SLOTS as usize => Ok(Self {
                intercept: i32::from_le_bytes(*intercept),
                weights: weights.iter().map(|weight| weight.cast_signed()).collect(),
            }),
            _ => Err(format!("{} bytes, expected a mark, an intercept and {SLOTS} weights", bytes.len())),
        }
    }

    /// The logit of spam for a post with these slots, in 32nds: from 0 on it is more likely spam than not.
    pub fn logit(&self, slots: &[u32]) -> i32 {
        let weight = |slot: &u32| self.weights.get(*slot as usize).map_or(0, |weight| i32::from(*weight));
        self.intercept + slots.iter().map(weight).sum::<i32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_and_other_files_are_refused() {
        let mut file = [MAGIC, &(-10_i32).to_le_bytes(), &[0; SLOTS as usize]].concat();
        file[MAGIC.len() + 4 + 7] = 12;
        file[MAGIC.len() + 4 + 9] = 0xff;
        let weights = SpamWeights::read(&file).unwrap();
        assert_eq!([&[][..], &[7], &[7, 9]].map(|slots| weights.logit(slots)), [-10, 2, 1]);
        file.pop();
        assert!(SpamWeights::read(&file).unwrap_err().contains("131080 bytes"));
        assert!(SpamWeights::read(b"").is_err());
    }
}
