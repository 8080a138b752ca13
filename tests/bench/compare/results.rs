//! Every figure of every round, and what follows from them: medians, ranges,
//! ratios within a round, and whether the library meets its bars.

use std::collections::BTreeMap;

use crate::plan::{self, Against, Bar, Better, CRATES, Metric};
use crate::workload::{Peer, Workload};

/// The figures by workload, metric and peer. A failed run leaves a gap.
#[derive(Default)]
pub struct Results {
    rounds: usize,
    figures: BTreeMap<(Workload, &'static str, Peer), Vec<Option<f64>>>,
    pub notes: Vec<String>,
}

/// The median and the range of some figures.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Summary {
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values
            .into_iter()
            .filter(|value| value.is_finite())
            .collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => (values.get(middle.checked_sub(1)?)? + values[middle]) / 2.0,
            _ => values[middle],
        };
        Some(Self {
            median,
            min: *values.first()?,
            max: *values.last()?,
        })
    }
}

pub struct Verdict {
    pub bar: Bar,
    /// `None` if a peer of the comparison has no figure.
    pub reached: Option<Summary>,
}

impl Verdict {
    pub fn met(&self) -> Option<bool> {
        let reached = self.reached?;
        Some(self.bar.limit.admits(reached.median))
    }
}

impl Results {
    pub fn begin_round(&mut self) {
        self.rounds += 1;
    }

    pub fn rounds(&self) -> usize {
        self.rounds
    }

    /// Adds the figures of one run in the current round.
    pub fn add(&mut self, workload: Workload, peer: Peer, figures: &[(&'static str, f64)]) {
        for (key, value) in figures {
            let values = self.figures.entry((workload, key, peer)).or_default();
            values.resize(self.rounds - 1, None);
            values.push(Some(*value));
        }
    }

    pub fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    pub fn values(&self, workload: Workload, key: &'static str, peer: Peer) -> &[Option<f64>] {
        let values = self.figures.get(&(workload, key, peer));
        values.map_or(&[], Vec::as_slice)
    }

    pub fn summary(&self, workload: Workload, key: &'static str, peer: Peer) -> Option<Summary> {
        let values = self.values(workload, key, peer);
        Summary::of(values.iter().copied().flatten())
    }

    /// Returns the workloads that were run, with the peers that have figures.
    pub fn workloads(&self) -> BTreeMap<Workload, Vec<Peer>> {
        let mut found = BTreeMap::<_, Vec<Peer>>::new();
        for (workload, _, peer) in self.figures.keys() {
            let peers = found.entry(*workload).or_default();
            if !peers.contains(peer) {
                peers.push(*peer);
            }
        }
        found.values_mut().for_each(|peers| peers.sort_unstable());
        found
    }

    /// Returns the verdicts on the bars of all workloads that were run.
    pub fn verdicts(&self) -> Vec<Verdict> {
        let run = self.workloads();
        let bars = plan::bars().into_iter();
        bars.filter(|bar| run.contains_key(&bar.workload))
            .map(|bar| Verdict {
                reached: self.reached(&bar),
                bar,
            })
            .collect()
    }

    /// Compares the figure of each round with the other peer's figure of the same
    /// round.
    fn reached(&self, bar: &Bar) -> Option<Summary> {
        let ours = self.values(bar.workload, bar.key, bar.peer);
        Summary::of(ours.iter().enumerate().filter_map(|(round, value)| {
            let value = (*value)?;
            match bar.against {
                Against::Nothing => Some(value),
                Against::Peer(peer) => Some(value / self.at(bar, peer, round)?),
                Against::BetterCrate => Some(value / self.better_crate(bar, round)?),
            }
        }))
    }

    fn at(&self, bar: &Bar, peer: Peer, round: usize) -> Option<f64> {
        *self.values(bar.workload, bar.key, peer).get(round)?
    }

    fn better_crate(&self, bar: &Bar, round: usize) -> Option<f64> {
        let better = plan::metrics(bar.workload)
            .into_iter()
            .find(|metric| metric.key == bar.key)?
            .better;
        let pick = match better {
            Better::Higher => f64::max,
            Better::Lower => f64::min,
        };
        let crates = CRATES.into_iter();
        crates
            .filter_map(|peer| self.at(bar, peer, round))
            .reduce(pick)
    }
}

/// Returns the metrics of a workload for which any of its peers has figures.
pub fn measured(results: &Results, workload: Workload, peers: &[Peer]) -> Vec<Metric> {
    let mut metrics = plan::metrics(workload);
    metrics.retain(|metric| {
        let has = |peer: &Peer| !results.values(workload, metric.key, *peer).is_empty();
        peers.iter().any(has)
    });
    metrics
}
