//! How far a long command is: one line that is written over on a terminal, plain lines now and then elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use millstream_media::time::MonoTime;

/// Cells of the bar.
const CELLS: usize = 24;
/// Least time between two plain lines of one activity.
const LINES_EVERY: Duration = Duration::from_secs(5);

/// A meter on standard error.
pub struct Meter {
    is_terminal: bool,
    /// What was said last, and when.
    said: Option<(String, MonoTime)>,
    began: MonoTime,
    width: usize,
}

impl Meter {
    /// A meter that has said nothing.
    pub fn new(now: MonoTime) -> Self {
        Meter { is_terminal: std::io::stderr().is_terminal(), said: None, began: now, width: 0 }
    }

    /// Says how far `what` is: `share` of 0 to 1, how fast, and the seconds left.
    pub fn show(&mut self, what: &str, share: f64, speed: &str, left: Option<f64>, now: MonoTime) {
        let mut err = std::io::stderr().lock();
        // Nothing depends on it being read.
        if self.is_terminal {
            let line = bar(what, share, speed, left);
            let _ = write!(err, "\r{line:<width$}", width = self.width);
            self.width = line.chars().count();
            let _ = err.flush();
        } else if self.is_due_at(what, now) {
            let _ = writeln!(err, "{}", plain(what, share, speed, left));
            self.said = Some((what.to_owned(), now));
        }
    }

    fn is_due_at(&self, what: &str, now: MonoTime) -> bool {
        match &self.said {
            None => now.since(self.began) >= Duration::from_secs(1),
            Some((said, then)) => said != what || now.since(*then) >= LINES_EVERY,
        }
    }

    /// The line is done with.
    pub fn end(&self) {
        if self.is_terminal && self.width > 0 {
            let _ = write!(std::io::stderr().lock(), "\r{:<width$}\r", "", width = self.width);
        }
    }
}

fn bar(what: &str, share: f64, speed: &str, left: Option<f64>) -> String {
    let full = ((share.clamp(0.0, 1.0) * CELLS as f64) as usize).min(CELLS);
    format!("[{}{}] {}", "#".repeat(full), ".".repeat(CELLS - full), plain(what, share, speed, left))
}

fn plain(what: &str, share: f64, speed: &str, left: Option<f64>) -> String {
    let mut line = format!("{:3.0} % {what}", share.clamp(0.0, 1.0) * 100.0);
    if !speed.is_empty() {
        line.push_str(&format!(", {speed}"));
    }
    if let Some(left) = left {
        line.push_str(&format!(", {} left", time(left)));
    }
    line
}

fn time(seconds: f64) -> String {
    let s = seconds.clamp(0.0, 1e9).ceil() as u64;
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m}:{s:02}"),
        (h, m, s) => format!("{h}:{m:02}:{s:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_share_speed_and_time_left() {
        assert_eq!(
            bar("encoding", 0.5, "3.1x", Some(75.2)),
            "[############............]  50 % encoding, 3.1x, 1:16 left"
        );
        assert_eq!(plain("waiting", 0.0, "", None), "  0 % waiting");
        assert_eq!(bar("x", 7.0, "", None).matches('#').count(), CELLS);
        for (seconds, text) in
            [(0.2, "1 s"), (59.0, "59 s"), (60.0, "1:00"), (3661.0, "1:01:01"), (f64::INFINITY, "277777:46:40")]
        {
            assert_eq!(time(seconds), text);
        }
    }
}
