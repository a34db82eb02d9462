//! What is seen meanwhile: bars on standard error where that is a terminal, and nothing elsewhere.

use std::cell::{Cell, RefCell};
use std::fmt;

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::say;

/// Further downloads run without a bar of their own: terminals are not high.
const BARS_MAX: usize = 12;
/// Characters of a name in front of a bar.
const NAME_MAX: usize = 28;
const UNKNOWN: &str = "{prefix:28}  {bytes} {bytes_per_sec} {wide_msg}";
const KNOWN: &str = "{prefix:28} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec} {eta} {wide_msg}";
const TOTAL: &str = "{pos} of {len} {wide_msg}";

/// All bars. The last one is the total.
#[derive(Debug)]
pub(super) struct Progress {
    bars: MultiProgress,
    total: ProgressBar,
    bytes: Cell<u64>,
    shown: Cell<usize>,
    /// The first error of standard output: nobody reads, so nobody is to be told more.
    broken: RefCell<Option<anyhow::Error>>,
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress {
    /// Of so many downloads. indicatif hides all of it where standard error is no terminal.
    pub(super) fn new(downloads: usize) -> Progress {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let total = ProgressBar::new(downloads as u64).with_style(style(TOTAL));
        let total = bars.add(total);
        Progress {
            bars,
            total,
            bytes: Cell::new(0),
            shown: Cell::new(0),
            broken: RefCell::new(None),
        }
    }

    /// A bar for one download.
    pub(super) fn begin(&self, name: &str) -> Bar<'_> {
        let bar = if self.shown.get() < BARS_MAX {
            self.bars.insert_before(&self.total, ProgressBar::no_length())
        } else {
            ProgressBar::hidden()
        };
        self.shown.set(self.shown.get() + 1);
        bar.set_style(style(UNKNOWN));
        let bar = Bar { of: self, bar };
        bar.rename(name);
        bar
    }

    /// One download more has ended.
    pub(super) fn count(&self) {
        self.total.inc(1);
    }

    /// Prints a result, above the bars.
    pub(super) fn say(&self, text: impl fmt::Display) {
        if self.broken.borrow().is_some() {
            return;
        }
        if let Err(error) = self.bars.suspend(|| say(text)) {
            *self.broken.borrow_mut() = Some(error);
        }
    }

    /// Removes the bars, and says whether all results could be printed.
    pub(super) fn end(&self) -> anyhow::Result<()> {
        self.total.finish_and_clear();
        self.broken.take().map_or(Ok(()), Err)
    }
}

/// One download's bar. It goes with the download.
#[derive(Debug)]
pub(super) struct Bar<'a> {
    of: &'a Progress,
    bar: ProgressBar,
}

impl Bar<'_> {
    pub(super) fn rename(&self, name: &str) {
        self.bar.set_prefix(name.chars().take(NAME_MAX).collect::<String>());
    }

    /// The body begins behind `start` bytes that are there.
    pub(super) fn show(&self, start: u64, whole: Option<u64>) {
        self.bar.set_message("");
        if let Some(whole) = whole {
            self.bar.set_length(whole);
            self.bar.set_style(style(KNOWN));
        }
        self.bar.set_position(start);
        self.bar.reset_eta();
    }

    pub(super) fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
        let all = self.of.bytes.get() + bytes;
        self.of.bytes.set(all);
        self.of.total.set_message(format!("{}", HumanBytes(all)));
    }

    pub(super) fn say(&self, text: String) {
        self.bar.set_message(text);
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.of.shown.set(self.of.shown.get() - 1);
    }
}
