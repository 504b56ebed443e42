//! Measurements as lines, as a table of medians, and as JSON.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::measure::{Mode, Run};
use super::setting::Setting;

#[derive(Serialize)]
struct Report {
    runs: Vec<Run>,
}

/// Writes all measurements.
pub(super) fn write(path: &Path, runs: Vec<Run>) -> Result<()> {
    let file = File::create(path).with_context(|| format!("make {}", path.display()))?;
    Ok(serde_json::to_writer_pretty(BufWriter::new(file), &Report { runs })?)
}

/// One measurement.
pub(super) fn line(run: &Run) -> String {
    let Run { mode, repeat, requests_per_second, controller_cpu_us_per_request, .. } = run;
    let lost = run.lost.map_or_else(String::new, |lost| format!(", {lost} lost"));
    format!(
        "{repeat} {mode:?}: {requests_per_second:.0} requests/s, controller {controller_cpu_us_per_request:.2} us{lost}"
    )
}

/// Medians of one setting by mode. Lost events are summed: a median would hide them.
pub(super) fn table(setting: Setting, runs: &[Run]) -> String {
    let mut text = format!(
        "{}\n{:11} {:>11} {:>13} {:>13} {:>15} {:>11} {:>13} {:>10} {:>6}\n",
        setting.name(),
        "mode",
        "requests/s",
        "contr. us/req",
        "(from-to)",
        "auditor us/req",
        "bpf us/req",
        "peak RSS MiB",
        "events",
        "lost"
    );
    for mode in [Mode::Bare, Mode::AccessLog, Mode::Auditor, Mode::Uprobe] {
        let is_meant = move |run: &&Run| {
            run.mode == mode && run.server == setting.server && run.protocol == setting.protocol
        };
        let of_mode = || runs.iter().filter(is_meant);
        if of_mode().next().is_none() {
            continue;
        }
        let number = |value: fn(&Run) -> Option<f64>, digits: usize| {
            median(of_mode().filter_map(value).collect())
                .map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let sum = |value: fn(&Run) -> Option<u64>| {
            let values: Vec<u64> = of_mode().filter_map(value).collect();
            if values.is_empty() { "-".to_owned() } else { values.iter().sum::<u64>().to_string() }
        };
        text += &format!(
            "{:11} {:>11} {:>13} {:>13} {:>15} {:>11} {:>13} {:>10} {:>6}\n",
            format!("{mode:?}"),
            number(|run| Some(run.requests_per_second), 0),
            number(|run| Some(run.controller_cpu_us_per_request), 2),
            spread(of_mode().map(|run| run.controller_cpu_us_per_request)),
            number(|run| run.auditor_cpu_us_per_request, 2),
            number(|run| run.bpf_us_per_request, 2),
            number(|run| run.auditor_peak_rss_mib, 1),
            sum(|run| run.events),
            sum(|run| run.lost),
        );
    }
    text
}

/// The least and the greatest: a difference of medians that is smaller says nothing.
fn spread(values: impl Iterator<Item = f64>) -> String {
    let (least, greatest) =
        values.fold((f64::INFINITY, 0.0_f64), |(a, b), value| (a.min(value), b.max(value)));
    format!("{least:.1}-{greatest:.1}")
}

/// The middle one, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
