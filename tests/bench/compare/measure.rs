//! One run: a peer does a workload once, with processes of its own.

use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Failure, Group, Process, Programs};
use crate::workload::{GIB, Job, Sizes, Workload};

pub type Figures = Vec<(&'static str, f64)>;

/// How long memory is left alone before it is looked at.
const SETTLE: Duration = Duration::from_millis(500);
const REST_AFTER_BURST: Duration = Duration::from_secs(3);

/// Fewer than the 128 connections that std lets wait for `accept`.
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
        let secs = self.group.client.ask("run")?.get("secs")?;
        let cpu = self.group.cpu()? - before;
        let bytes = self.sizes.bulk as f64;
        Ok(vec![
            ("rate", bytes / secs / 1e6),
            ("cpu", cpu * GIB as f64 / bytes),
        ])
    }

    fn latency(&mut self) -> Result<Figures, Failure> {
        let answer = self.group.client.ask("run")?;
        Ok(vec![
            ("p50", answer.get("p50")?),
            ("p99", answer.get("p99")?),
        ])
    }

    fn beside(&mut self) -> Result<Figures, Failure> {
        let answer = self.group.client.ask("run")?;
        let rate = answer.get("bytes")? / answer.get("secs")? / 1e6;
        Ok(vec![
            ("p50", answer.get("p50")?),
            ("p99", answer.get("p99")?),
            ("rate", rate),
        ])
    }

    fn opens(&mut self) -> Result<Figures, Failure> {
        let answer = self.group.client.ask("run")?;
        Ok(vec![("rate", answer.get("count")? / answer.get("secs")?)])
    }

    fn idle(&mut self) -> Result<Figures, Failure> {
        let [count, _] = self.sizes.levels;
        let start = Look::at(&self.group.server)?;
        let secs = self.grow(0, count)?;
        let idle = Look::at(&self.group.server)?;
        self.group.client.ask("burst")?;
        thread::sleep(REST_AFTER_BURST);
        let after = Look::at(&self.group.server)?;
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
        let start = Look::at(&self.group.server)?;
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

    /// Grows to a level and looks at what each one costs there.
    fn level(&mut self, start: &Look, from: usize, to: usize) -> Result<Level, Failure> {
        let secs = self.grow(from, to)?;
        let look = Look::at(&self.group.server)?;
        Ok(Level {
            kb: (look.kb - start.kb) / to as f64,
            us: secs * 1e6 / (to - from) as f64,
            p50: self.group.client.ask("ping")?.get("p50")?,
        })
    }

    /// Gives the seconds it took. In steps, so that a client that is done with
    /// `connect` does not run into the server's backlog.
    fn grow(&mut self, from: usize, to: usize) -> Result<f64, Failure> {
        let start = Instant::now();
        let mut count = from;
        while count < to {
            count = to.min(count + STEP);
            self.group.client.ask(&format!("grow {count}"))?;
            if self.job.workload != Workload::Streams {
                self.group.server.ask(&format!("await {count}"))?;
            }
        }
        let secs = start.elapsed().as_secs_f64();
        thread::sleep(SETTLE);
        Ok(secs)
    }

    /// `many`, or as many as the limit on open files allows when each needs
    /// what each of `few` did.
    fn as_many_as_fit(&mut self, few: usize, many: usize) -> Result<usize, Failure> {
        let mut fit = many;
        for process in [&self.group.client, &self.group.server] {
            // Rounded down: a process has a few files of its own.
            let each = process.open_files()? / few;
            if let Some(room) = (process.file_limit()? - 64).checked_div(each) {
                fit = fit.min(room);
            }
        }
        if fit < many {
            let note = format!(
                "{:?}, {:?}: {fit} instead of {many}, for the limit on open files",
                self.job.workload, self.job.peer
            );
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        Ok(fit)
    }
}

struct Level {
    kb: f64,
    us: f64,
    p50: f64,
}

/// What a server holds at one moment.
struct Look {
    kb: f64,
    threads: f64,
}

impl Look {
    fn at(server: &Process) -> Result<Self, Failure> {
        Ok(Self {
            kb: server.resident_kb()?,
            threads: server.threads()?,
        })
    }
}
