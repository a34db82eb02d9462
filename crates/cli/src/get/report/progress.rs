//! Progress bars on standard error, if that is a terminal.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::{fmt, io};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::display::Escaped;
use crate::stdout::print;

/// The most simultaneous bars, if the terminal is high enough. Further downloads have none.
const BARS_MAX: usize = 12;
/// The maximum number of columns of a name before a bar.
const NAME_MAX: usize = 28;
/// Columns of a terminal that reports no size.
const WIDTH: usize = 80;
/// Lines of such a terminal.
const HEIGHT: usize = 24;
/// Columns of all but the name, in a terminal without room for a bar.
const NUMBERS: usize = 52;
/// Columns of the bar itself.
const BAR: usize = 26;
const TOTAL: &str = "{pos} of {len} {wide_msg}";

/// The layout for the terminal's size at the start: a line for each file, and the total below.
#[derive(Debug, Clone, Copy)]
struct Layout {
    name: usize,
    has_bar: bool,
    bars: usize,
}

impl Layout {
    fn new(width: usize, height: usize) -> Layout {
        let name = width.saturating_sub(NUMBERS).clamp(8, NAME_MAX);
        let has_bar = width > NAME_MAX + NUMBERS + BAR;
        // Besides the bars, there are the total and the line of the prompt.
        Layout { name, has_bar, bars: height.saturating_sub(2).min(BARS_MAX) }
    }

    fn from_terminal() -> Layout {
        let size = rustix::termios::tcgetwinsize(io::stderr());
        let (width, height) = size.map_or((0, 0), |size| (size.ws_col.into(), size.ws_row.into()));
        let or = |found: usize, default| if found == 0 { default } else { found };
        Layout::new(or(width, WIDTH), or(height, HEIGHT))
    }

    fn known(self) -> String {
        let bar = if self.has_bar { "[{bar:24}] " } else { "" };
        self.named(&format!(
            "{bar}{{percent:>3}}% {{bytes:>10}} of {{total_bytes:10}} {RATE} {{eta}}"
        ))
    }

    fn unknown(self) -> String {
        self.named(&format!("     {{bytes:>10}} {RATE}"))
    }

    fn named(self, rest: &str) -> String {
        format!("{{prefix:{}}} {rest}", self.name)
    }
}

const RATE: &str = "{bytes_per_sec:>12}";

/// All bars. The last one is the total.
#[derive(Debug)]
pub(in crate::get) struct Progress {
    bars: MultiProgress,
    total: ProgressBar,
    /// True if standard output is for results, not for a file.
    prints_results: bool,
    bytes: Cell<u64>,
    shown: Cell<usize>,
    /// True if the bars are shown.
    is_visible: bool,
    layout: Layout,
    /// The first error of standard output; nothing is printed after it.
    broken: RefCell<Option<anyhow::Error>>,
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress {
    /// Makes the bars of `downloads` downloads. indicatif hides them if standard error is not a
    /// terminal.
    pub(in crate::get) fn new(downloads: usize, prints_results: bool, quiet: bool) -> Progress {
        let bars = MultiProgress::with_draw_target(match quiet {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        });
        let total = ProgressBar::new(downloads as u64).with_style(style(TOTAL));
        let total = bars.add(total);
        Progress {
            is_visible: !bars.is_hidden(),
            bars,
            total,
            prints_results: prints_results && !quiet,
            bytes: Cell::new(0),
            shown: Cell::new(0),
            layout: Layout::from_terminal(),
            broken: RefCell::new(None),
        }
    }

    /// Makes a bar for one download.
    pub(in crate::get) fn begin(&self, name: &str) -> Bar<'_> {
        let bar = if self.is_visible && self.shown.get() < self.layout.bars {
            self.bars.insert_before(&self.total, ProgressBar::no_length())
        } else {
            ProgressBar::hidden()
        };
        self.shown.set(self.shown.get() + 1);
        let bar = Bar { progress: self, bar };
        bar.set_style(Layout::unknown);
        bar.rename(name);
        bar
    }

    /// Counts one more ended download.
    pub(in crate::get) fn count(&self) {
        self.total.inc(1);
    }

    /// Prints a result above the bars.
    pub(in crate::get) fn print(&self, text: impl fmt::Display) {
        if !self.prints_results || self.broken.borrow().is_some() {
            return;
        }
        let message = if self.is_visible { self.bars.suspend(|| print(text)) } else { print(text) };
        if let Err(error) = message {
            *self.broken.borrow_mut() = Some(error);
        }
    }

    /// Removes the bars, and returns the first error of printing results.
    pub(in crate::get) fn end(&self) -> anyhow::Result<()> {
        self.total.finish_and_clear();
        self.broken.take().map_or(Ok(()), Err)
    }
}

/// The bar of one download; dropping it removes it.
#[derive(Debug)]
pub(in crate::get) struct Bar<'a> {
    progress: &'a Progress,
    bar: ProgressBar,
}

impl Bar<'_> {
    fn set_style(&self, template: impl FnOnce(Layout) -> String) {
        if !self.bar.is_hidden() {
            self.bar.set_style(style(&template(self.progress.layout)));
        }
    }

    pub(in crate::get) fn rename(&self, name: &str) {
        self.bar.set_prefix(fitting(name, self.progress.layout.name));
    }

    /// Shows the progress of a body that begins after `start` known bytes.
    pub(in crate::get) fn show(&self, start: u64, whole: Option<u64>) {
        match whole {
            Some(whole) => {
                self.bar.set_length(whole);
                self.set_style(Layout::known);
            }
            None => self.set_style(Layout::unknown),
        }
        self.bar.set_position(start);
        self.bar.reset_eta();
    }

    pub(in crate::get) fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
        let all = self.progress.bytes.get() + bytes;
        self.progress.bytes.set(all);
        if self.progress.is_visible {
            self.progress.total.set_message(format!("{}", HumanBytes(all)));
        }
    }

    /// Shows a text instead of numbers, until the next response.
    pub(in crate::get) fn print(&self, text: String) {
        self.set_style(|layout| layout.named("{wide_msg}"));
        self.bar.set_message(text);
    }
}

/// Cuts a name to `columns`; characters of East Asian scripts take two.
fn fitting(name: &str, columns: usize) -> String {
    let mut left = columns;
    let fits = |c: &char| {
        let width = if u32::from(*c) >= 0x1100 { 2 } else { 1 };
        let fits = width <= left;
        left = left.saturating_sub(width);
        fits
    };
    Escaped::new(Path::new(name)).to_string().chars().take_while(fits).collect()
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.progress.shown.set(self.progress.shown.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_into_terminals_of_any_size() {
        for (width, height) in [(60, 5), (80, 24), (107, 40), (120, 50), (300, 100)] {
            let layout = Layout::new(width, height);
            let bar = if layout.has_bar { BAR + 1 } else { 0 };
            // The longest numbers: 1023.99 MiB, and /s after it; 99m for the time.
            assert!(layout.name + bar + 1 + 4 + 1 + 10 + 4 + 10 + 1 + 13 + 1 + 4 <= width.max(60));
            assert!(layout.bars + 2 <= height);
        }
    }

    #[test]
    fn a_name_is_cut_to_its_columns() {
        assert_eq!(fitting("short", 8), "short");
        assert_eq!(fitting("long-enough", 8), "long-eno");
        assert_eq!(fitting("日本語", 5), "日本");
        assert_eq!(fitting("a\nb", 8), "a\\x0ab");
    }
}
