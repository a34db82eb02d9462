//! Settings from the environment, for programs that make none.
//!
//! | variable | is | as |
//! |---|---|---|
//! | `OVERLAPPED_STALL` | a time: `500ms`, `1s`, `2m` | `Config::stall_limit` |
//! | `OVERLAPPED_DUMP` | a signal: `quit`, `SIGUSR1` | `Config::dump_on` |

use std::io;
use std::time::Duration;

use crate::watchdog::signal_of;

/// Returns the limit in `OVERLAPPED_STALL`.
pub(super) fn stall_limit() -> io::Result<Option<Duration>> {
    let hint = "it can be a time such as `500ms`, `1s` or `2m`";
    read("OVERLAPPED_STALL", hint, duration)
}

/// Returns the signal in `OVERLAPPED_DUMP`.
pub(super) fn dump_signal() -> io::Result<Option<i32>> {
    let hint = "it can be the name of a signal such as `quit` or `usr1`";
    // Numbers are refused: `1` would be meant as "on", but is SIGHUP.
    let by_name = |text: &str| signal_of(text).filter(|_| text.parse::<i32>().is_err());
    read("OVERLAPPED_DUMP", hint, by_name)
}

/// Reads a variable; `None` if it is not set, or empty.
fn read<T>(variable: &str, hint: &str, parse: fn(&str) -> Option<T>) -> io::Result<Option<T>> {
    let Some(value) = std::env::var_os(variable).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    match value.to_str().and_then(parse) {
        Some(parsed) => Ok(Some(parsed)),
        None => {
            let text = format!("{variable} is {value:?}; {hint}");
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}

/// Parses a number and its unit; the time is not zero.
fn duration(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(at);
    let unit = match unit.trim() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * unit;
    Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        let known = [("500ms", 500), ("1s", 1_000), ("2m", 120_000), ("1.5 s", 1_500)];
        for (text, millis) in known {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "1", "s", "1x", "-1s", "1.2.3s", "0s", "soon", "1 s s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
