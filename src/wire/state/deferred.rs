//! Errors and log lines that wait for a pool thread to pass them to the error handler or
//! the logger.

use crate::error::OpError;
use std::{collections::VecDeque, io};

/// The most reports that may wait. Further ones are only counted.
pub(crate) const MAX_DEFERRED: usize = 256;

/// Something that waits for a pool thread.
pub(crate) enum Report {
    Error(OpError),
    Log(LogLine),
    /// This many reports were dropped here, because the error handler or the logger was
    /// too slow.
    Dropped(u64),
    /// The reports waited because no thread could be started.
    NoThread(io::Error),
}

/// A line to be logged.
pub(crate) struct LogLine {
    pub(crate) level: log::Level,
    /// The module that logs.
    pub(crate) target: &'static str,
    pub(crate) text: String,
}

/// A queue of reports, which a pool thread empties.
#[derive(Default)]
pub(crate) struct Deferred {
    /// In the order in which they came. Invariant: at most [`MAX_DEFERRED`], and one
    /// [`Report::Dropped`] as the last.
    reports: VecDeque<Report>,
    no_thread: Option<io::Error>,
    /// Whether a pool thread is passing the reports on, or is about to.
    has_thread: bool,
}

impl Deferred {
    /// Queues a report. If the queue is full, counts the report and returns it.
    #[must_use]
    pub(crate) fn push(&mut self, report: Report) -> Option<Report> {
        if self.reports.len() < MAX_DEFERRED {
            self.reports.push_back(report);
            return None;
        }
        match self.reports.back_mut() {
            Some(Report::Dropped(count)) => *count += 1,
            _ => self.reports.push_back(Report::Dropped(1)),
        }
        Some(report)
    }

    /// Claims the thread's job. Returns whether the caller must start the thread
    /// that passes the reports on.
    pub(crate) fn claim_thread(&mut self) -> bool {
        !std::mem::replace(&mut self.has_thread, true)
    }

    /// Notes that no thread could be started. The reports wait for the next claim.
    pub(crate) fn no_thread(&mut self, error: io::Error) {
        self.has_thread = false;
        self.no_thread = Some(error);
    }

    /// Takes the next report. `None` ends the thread's job.
    pub(crate) fn pop(&mut self) -> Option<Report> {
        let no_thread = self.no_thread.take().map(Report::NoThread);
        let report = no_thread.or_else(|| self.reports.pop_front());
        if report.is_none() {
            self.has_thread = false;
        }
        report
    }

    /// Returns whether a pool thread is passing reports on, or is about to.
    pub(crate) fn has_thread(&self) -> bool {
        self.has_thread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: impl ToString) -> Report {
        Report::Log(LogLine {
            level: log::Level::Warn,
            target: "",
            text: text.to_string(),
        })
    }

    /// Takes everything: the text of a line, or the number of dropped reports.
    fn take(deferred: &mut Deferred, count: usize) -> Vec<String> {
        let taken = std::iter::from_fn(|| deferred.pop()).take(count);
        taken
            .map(|report| match report {
                Report::Log(line) => line.text,
                Report::Dropped(count) => format!("{count} dropped"),
                Report::Error(_) | Report::NoThread(_) => unreachable!("not queued here"),
            })
            .collect()
    }

    #[test]
    fn what_comes_while_the_queue_is_full_is_counted_where_it_came() {
        let mut deferred = Deferred::default();
        for number in 0..MAX_DEFERRED + 3 {
            assert_eq!(
                deferred.push(line(number)).is_some(),
                number >= MAX_DEFERRED
            );
        }
        let taken = take(&mut deferred, 2);
        assert_eq!(taken, ["0", "1"]);
        assert!(deferred.push(line("later")).is_none());
        let taken = take(&mut deferred, usize::MAX);
        assert_eq!(taken.len(), MAX_DEFERRED);
        assert_eq!(taken[MAX_DEFERRED - 2..], ["3 dropped", "later"]);
    }
}
