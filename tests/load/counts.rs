//! Counts by name. Between processes they are sent as one line of text.

use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fmt,
    ops::{AddAssign, Index},
};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    pub fn parse(line: &str) -> Self {
        let words = line.split_whitespace();
        let pairs = words.filter_map(|word| word.split_once('='));
        let counts = pairs.map(|(name, value)| {
            let value = value.parse().expect("a count is a number");
            (name.to_owned(), value)
        });
        Self(counts.collect())
    }

    pub fn set(&mut self, name: &str, value: u64) {
        self.0.insert(name.into(), value);
    }
}

impl<const N: usize> From<[(&str, u64); N]> for Counts {
    fn from(pairs: [(&str, u64); N]) -> Self {
        Self(pairs.map(|(name, value)| (name.into(), value)).into())
    }
}

impl Index<&str> for Counts {
    type Output = u64;

    fn index(&self, name: &str) -> &u64 {
        self.0.get(name).unwrap_or(&0)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        for (name, value) in other.0 {
            *self.0.entry(name).or_default() += value;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            write!(f, "{name}={value} ")?;
        }
        Ok(())
    }
}

/// Counts that many threads add to.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

impl Tally {
    pub fn add(&self, name: &str, value: u64) {
        *self.0.lock().0.entry(name.into()).or_default() += value;
    }

    pub fn counts(&self) -> Counts {
        self.0.lock().clone()
    }
}
