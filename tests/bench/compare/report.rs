//! The tables on the terminal.

use std::fmt::Write;

use crate::plan::{self, Against, Bar, Limit, name_of};
use crate::results::{Results, Summary, Verdict, measured};
use crate::workload::{Peer, Workload};

pub fn tables(results: &Results) -> String {
    let mut text = String::new();
    for (workload, peers) in results.workloads() {
        text += &table(results, workload, &peers);
        text.push('\n');
    }
    text += &bars(&results.verdicts());
    for note in &results.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

/// Formats a table with one row per metric and one column per peer.
fn table(results: &Results, workload: Workload, peers: &[Peer]) -> String {
    let mut rows = vec![vec![name_of(&workload)]];
    rows[0].extend(peers.iter().map(|peer| peer_name(*peer).to_owned()));
    for metric in measured(results, workload, peers) {
        let mut row = vec![format!("  {}", metric.unit)];
        row.extend(peers.iter().map(|peer| {
            let summary = results.summary(workload, metric.key, *peer);
            summary.map_or_else(|| "-".to_owned(), with_range)
        }));
        rows.push(row);
    }
    format!("{}\n{}", plan::describe(workload), aligned(&rows))
}

fn bars(verdicts: &[Verdict]) -> String {
    let mut rows = vec![["bar", "wanted", "reached", ""].map(str::to_owned).to_vec()];
    for verdict in verdicts {
        rows.push(vec![
            format!("  {}", bar_name(&verdict.bar)),
            limit_text(verdict.bar.limit),
            verdict.reached.map_or_else(|| "-".to_owned(), with_range),
            match verdict.met() {
                Some(true) => "met".to_owned(),
                Some(false) => "MISSED".to_owned(),
                None => "no figure".to_owned(),
            },
        ]);
    }
    let head = "Bars: medians of the ratios within each round";
    format!("{head}\n{}", aligned(&rows))
}

pub fn peer_name(peer: Peer) -> &'static str {
    match peer {
        Peer::Raw => "raw TCP",
        Peer::Wirenet => "wirenet",
        Peer::WirenetWait => "wirenet, waiting",
        Peer::WirenetYamux => "wirenet::yamux",
        Peer::Yamux => "yamux",
        Peer::TokioYamux => "tokio-yamux",
        Peer::Proxy => "TCP proxy",
        Peer::WirenetProxy => "wirenet, proxy",
        Peer::WirenetTls => "wirenet, TLS",
        Peer::Rustls => "rustls",
    }
}

pub fn bar_name(bar: &Bar) -> String {
    let metrics = plan::metrics(bar.workload).into_iter();
    let unit = metrics
        .filter(|metric| metric.key == bar.key)
        .map(|metric| metric.unit)
        .next()
        .unwrap_or(bar.key);
    let peer = peer_name(bar.peer);
    let against = match bar.against {
        Against::Peer(peer) => format!(" / {}", peer_name(peer)),
        Against::BetterCrate => " / better crate".to_owned(),
        Against::Nothing => String::new(),
    };
    format!("{}: {unit}, {peer}{against}", name_of(&bar.workload))
}

pub fn limit_text(limit: Limit) -> String {
    match limit {
        Limit::AtLeast(limit) => format!(">= {}", number(limit)),
        Limit::AtMost(limit) => format!("<= {}", number(limit)),
        Limit::Below(limit) => format!("< {}", number(limit)),
    }
}

fn with_range(summary: Summary) -> String {
    let [median, min, max] = [summary.median, summary.min, summary.max].map(number);
    if summary.min == summary.max {
        return median;
    }
    format!("{median} [{min} .. {max}]")
}

/// Formats a number with about three significant digits and commas between
/// thousands.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => grouped(value),
    }
}

fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 {
        format!("-{text}")
    } else {
        text
    }
}

/// Aligns the first column to the left and the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let _ = match column {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    text
}
