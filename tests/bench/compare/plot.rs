//! Draws the results as an SVG: one panel per metric, and in it one bar per peer
//! with a whisker from its lowest to its highest figure. The colours follow the
//! reader's colour scheme.

use std::fmt::Write;

use crate::plan::{self, Better, Metric, name_of};
use crate::report::{number, peer_name};
use crate::results::{Results, Summary, measured};
use crate::workload::{Peer, Workload};

const COLUMNS: usize = 2;
const PANEL: f64 = 460.0;
const LABELS: f64 = 122.0;
const FIGURES: f64 = 70.0;
const ROW: f64 = 20.0;
const HEAD: f64 = 44.0;
const GAP: f64 = 18.0;
const MARGIN: f64 = 20.0;

const STYLE: &str = "
  text { font: 12px system-ui, sans-serif; fill: #24292f; }
  .title { font-weight: 600; }
  .soft { fill: #57606a; font-size: 11px; }
  .value { text-anchor: end; font-variant-numeric: tabular-nums; }
  .whisker { stroke: #24292f; stroke-width: 1; opacity: .55; }
  .page { fill: #ffffff; }
  .raw { fill: #afb8c1; }
  .ours { fill: #0969da; }
  .crate { fill: #d4a72c; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .soft { fill: #9198a1; }
    .whisker { stroke: #e6edf3; }
    .page { fill: #0d1117; }
    .raw { fill: #57606a; }
    .ours { fill: #4493f8; }
    .crate { fill: #9e6a03; }
  }
";

/// A metric with one row for each peer that has figures for it.
struct Panel {
    workload: Workload,
    metric: Metric,
    rows: Vec<(Peer, Summary)>,
}

impl Panel {
    fn height(&self) -> f64 {
        HEAD + ROW * self.rows.len() as f64 + GAP
    }
}

pub fn svg(results: &Results) -> String {
    let panels = panels(results);
    let mut body = String::new();
    let mut top = MARGIN;
    for pair in panels.chunks(COLUMNS) {
        for (column, panel) in pair.iter().enumerate() {
            let left = MARGIN + column as f64 * (PANEL + MARGIN);
            draw(&mut body, panel, left, top);
        }
        top += pair.iter().map(Panel::height).fold(0.0, f64::max);
    }
    let width = MARGIN + COLUMNS as f64 * (PANEL + MARGIN);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {top}\" \
         width=\"{width}\" height=\"{top}\" role=\"img\">\n\
         <title>wirenet compared with raw TCP, two yamux crates and rustls</title>\n\
         <style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{width}\" height=\"{top}\"/>\n{body}</svg>\n"
    )
}

fn panels(results: &Results) -> Vec<Panel> {
    let mut panels = Vec::new();
    for (workload, peers) in results.workloads() {
        for metric in measured(results, workload, &peers) {
            let rows = peers.iter().filter_map(|peer| {
                let summary = results.summary(workload, metric.key, *peer)?;
                Some((*peer, summary))
            });
            // The two figures of the ratio have their own panels.
            if metric.key.ends_with("_growth") {
                continue;
            }
            panels.push(Panel {
                workload,
                metric,
                rows: rows.collect(),
            });
        }
    }
    panels
}

fn draw(body: &mut String, panel: &Panel, left: f64, top: f64) {
    let better = match panel.metric.better {
        Better::Higher => "higher is better",
        Better::Lower => "lower is better",
    };
    let title = format!("{}: {}", name_of(&panel.workload), panel.metric.unit);
    let subtitle = format!("{}; {better}", plan::describe(panel.workload));
    text(body, "title", left, top + 12.0, &title);
    text(body, "soft", left, top + 28.0, &subtitle);

    let most = panel.rows.iter().map(|(_, summary)| summary.max);
    let most = most.fold(f64::MIN_POSITIVE, f64::max);
    for (index, (peer, summary)) in panel.rows.iter().enumerate() {
        let top = top + HEAD + ROW * index as f64 - 6.0;
        draw_row(body, *peer, summary, most, left, top);
    }
}

fn draw_row(body: &mut String, peer: Peer, summary: &Summary, most: f64, left: f64, top: f64) {
    let start = left + LABELS;
    let room = PANEL - LABELS - FIGURES;
    let scaled = |value: f64| room * value.max(0.0) / most;
    text(body, "", left, top + 12.0, peer_name(peer));
    let class = match peer {
        Peer::Raw | Peer::Proxy | Peer::Rustls => "raw",
        Peer::Yamux | Peer::TokioYamux => "crate",
        Peer::Wirenet
        | Peer::WirenetWait
        | Peer::WirenetYamux
        | Peer::WirenetProxy
        | Peer::WirenetTls => "ours",
    };
    let _ = writeln!(
        body,
        "<rect class=\"{class}\" x=\"{start:.1}\" y=\"{top:.1}\" width=\"{:.1}\" \
         height=\"14\" rx=\"2\"/>",
        scaled(summary.median).max(1.0)
    );
    let [from, to] = [summary.min, summary.max].map(|value| start + scaled(value));
    let middle = top + 7.0;
    let _ = writeln!(
        body,
        "<path class=\"whisker\" d=\"M{from:.1} {middle:.1}H{to:.1}M{from:.1} {:.1}v6M{to:.1} \
         {:.1}v6\"/>",
        middle - 3.0,
        middle - 3.0
    );
    text(
        body,
        "value",
        left + PANEL,
        top + 12.0,
        &number(summary.median),
    );
}

fn text(body: &mut String, class: &str, x: f64, y: f64, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        body,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
    );
}
