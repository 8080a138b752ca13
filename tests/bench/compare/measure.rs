//! One run: a peer runs a workload once, in new processes.

use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Failure, Group, Process, Programs};
use crate::workload::{GIB, Job, Sizes, Workload};

pub type Figures = Vec<(&'static str, f64)>;

/// How long to wait before memory is measured.
const SETTLE: Duration = Duration::from_millis(500);
const REST_AFTER_BURST: Duration = Duration::from_secs(3);

/// How many sessions or streams are opened per command. This is below the 128
/// connections that a std listener queues for `accept`.
const STEP: usize = 100;

pub struct Run<'a> {
    group: Group,
    job: Job,
    sizes: Sizes,
    notes: &'a mut Vec<String>,
}

pub fn run(programs: &Programs, job: &Job, notes: &mut Vec<String>) -> Result<Figures, Failure> {
    let mut run = Run {
        group: Group::start(programs, job.clone())?,
        job: job.clone(),
        sizes: job.sizes(),
        notes,
    };
    match job.workload {
        Workload::Bulk64k | Workload::BulkCopy | Workload::Fan => run.transfer(),
        Workload::RelayBulk | Workload::TlsBulk => run.transfer(),
        Workload::Ping | Workload::PingOneCore | Workload::PingTwoCores => run.latency(),
        Workload::RelayPing | Workload::RelayPingOneCore => run.latency(),
        Workload::RelayPingTwoCores => run.latency(),
        Workload::Beside => run.beside(),
        Workload::Opens | Workload::Opens32 => run.opens(),
        Workload::Idle | Workload::TlsIdle => run.idle(),
        Workload::Sessions | Workload::Streams => run.growth(),
    }
}

impl Run<'_> {
    fn transfer(&mut self) -> Result<Figures, Failure> {
        let before = self.group.cpu()?;
        let secs = self.group.client.execute("run")?.get("secs")?;
        let cpu = self.group.cpu()? - before;
        let bytes = self.sizes.bulk as f64;
        Ok(vec![
            ("rate", bytes / secs / 1e6),
            ("cpu", cpu * GIB as f64 / bytes),
        ])
    }

    fn latency(&mut self) -> Result<Figures, Failure> {
        let answer = self.group.client.execute("run")?;
        Ok(vec![
            ("p50", answer.get("p50")?),
            ("p99", answer.get("p99")?),
        ])
    }

    fn beside(&mut self) -> Result<Figures, Failure> {
        let answer = self.group.client.execute("run")?;
        let rate = answer.get("bytes")? / answer.get("secs")? / 1e6;
        Ok(vec![
            ("p50", answer.get("p50")?),
            ("p99", answer.get("p99")?),
            ("rate", rate),
        ])
    }

    fn opens(&mut self) -> Result<Figures, Failure> {
        let answer = self.group.client.execute("run")?;
        Ok(vec![("rate", answer.get("count")? / answer.get("secs")?)])
    }

    fn idle(&mut self) -> Result<Figures, Failure> {
        let [count, _] = self.sizes.levels;
        let start = Snapshot::of(&self.group.server)?;
        let secs = self.grow(0, count)?;
        let idle = Snapshot::of(&self.group.server)?;
        self.group.client.execute("burst")?;
        thread::sleep(REST_AFTER_BURST);
        let after = Snapshot::of(&self.group.server)?;
        let each = |value: f64| value / count as f64;
        Ok(vec![
            ("kb", each(idle.kb - start.kb)),
            ("threads", each(idle.threads - start.threads)),
            ("kb_burst", each(after.kb - start.kb)),
            ("rate", count as f64 / secs),
        ])
    }

    fn growth(&mut self) -> Result<Figures, Failure> {
        let [few, many] = self.sizes.levels;
        let start = Snapshot::of(&self.group.server)?;
        let at_few = self.level(&start, 0, few)?;
        let many = self.as_many_as_fit(few, many)?;
        let at_many = self.level(&start, few, many)?;
        Ok(vec![
            ("kb_few", at_few.kb),
            ("kb_many", at_many.kb),
            ("kb_growth", at_many.kb / at_few.kb),
            ("us_few", at_few.us),
            ("us_many", at_many.us),
            ("us_growth", at_many.us / at_few.us),
            ("p50_few", at_few.p50),
            ("p50_many", at_many.p50),
            ("p50_growth", at_many.p50 / at_few.p50),
        ])
    }

    /// Grows to a level, and measures the cost per session or stream there.
    fn level(&mut self, start: &Snapshot, from: usize, to: usize) -> Result<Level, Failure> {
        let secs = self.grow(from, to)?;
        let grown = Snapshot::of(&self.group.server)?;
        Ok(Level {
            kb: (grown.kb - start.kb) / to as f64,
            us: secs * 1e6 / (to - from) as f64,
            p50: self.group.client.execute("ping")?.get("p50")?,
        })
    }

    /// Opens sessions or streams until there are `to`. Returns the seconds that
    /// took. Proceeds in steps, because a client that connects faster than the
    /// server accepts would overrun the server's backlog.
    fn grow(&mut self, from: usize, to: usize) -> Result<f64, Failure> {
        let start = Instant::now();
        let mut count = from;
        while count < to {
            count = to.min(count + STEP);
            self.group.client.execute(&format!("grow {count}"))?;
            if self.job.workload != Workload::Streams {
                self.group.server.execute(&format!("await {count}"))?;
            }
        }
        let secs = start.elapsed().as_secs_f64();
        thread::sleep(SETTLE);
        Ok(secs)
    }

    /// Returns `many`, or the number that the limit on open files allows, if that is
    /// lower. Assumes that each session needs as many files as each of the `few`.
    fn as_many_as_fit(&mut self, few: usize, many: usize) -> Result<usize, Failure> {
        let mut fit = many;
        for process in [&self.group.client, &self.group.server] {
            // Round down: a process also has a few other files open.
            let each = process.open_files()? / few;
            if let Some(room) = (process.file_limit()? - 64).checked_div(each) {
                fit = fit.min(room);
            }
        }
        if fit < many {
            let note = format!(
                "{:?}, {:?}: {fit} instead of {many}, because of the limit on open files",
                self.job.workload, self.job.peer
            );
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        Ok(fit)
    }
}

/// The cost per session or stream at a level.
struct Level {
    kb: f64,
    us: f64,
    p50: f64,
}

/// A server's memory and threads at one moment.
struct Snapshot {
    kb: f64,
    threads: f64,
}

impl Snapshot {
    fn of(server: &Process) -> Result<Self, Failure> {
        Ok(Self {
            kb: server.resident_kb()?,
            threads: server.threads()?,
        })
    }
}
