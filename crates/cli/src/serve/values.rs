//! Values of flags and of the configuration file, read from text by one grammar.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use super::faults::Faults;
use super::file::Source;

/// A length of time, such as `500ms`, `30s` or `5m`; it may be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Span(pub(super) Duration);

/// A limit on time, which is never none: that would be a limit at which nothing works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Limit(pub(super) Duration);

/// So many bytes, such as `500`, `64KiB`, `1MiB`, `2GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Text")]
pub(crate) struct Size(pub(crate) u64);

/// So many bytes a second, written as a [`Size`]; it may be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Text")]
pub(super) struct Rate(pub(super) u32);

/// A number that is never zero: that would be a limit at which nothing works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub(super) struct Count(NonZeroU32);

/// A variable of an environment, `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
}

/// What a file may write as a number or as a string.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a number of bytes, or a string such as \"64KiB\" or \"1GiB\"")]
enum Text {
    Number(u64),
    String(String),
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let explain = |_| format!("{text:?} is not a length of time: write it as 500ms, 30s or 5m");
        humantime::parse_duration(text).map(Span).map_err(explain)
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Limit, String> {
        match text.parse()? {
            Span(Duration::ZERO) => {
                Err("zero would close every connection at once; leave it out for the usual limit"
                    .to_owned())
            }
            Span(time) => Ok(Limit(time)),
        }
    }
}

impl Count {
    pub(super) fn get(self) -> usize {
        // Nowhere is a `usize` smaller.
        self.0.get() as usize
    }
}

impl From<Count> for NonZeroU32 {
    fn from(Count(number): Count) -> NonZeroU32 {
        number
    }
}

impl TryFrom<u64> for Count {
    type Error = &'static str;

    /// Caps a number that is larger than any limit needs to be.
    fn try_from(number: u64) -> Result<Count, &'static str> {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        NonZeroU32::new(number).map(Count).ok_or(
            "zero would let nothing through: leave it out, or \
                                                  give a number of at least 1",
        )
    }
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Count, String> {
        let number: u64 = text
            .parse()
            .map_err(|_| format!("{text:?} is not a whole number, such as 1 or 500"))?;
        Ok(Count::try_from(number)?)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit = match text[digits.len()..].trim() {
            "" | "B" => Some(0),
            "KiB" | "K" => Some(10),
            "MiB" | "M" => Some(20),
            "GiB" | "G" => Some(30),
            "TiB" | "T" => Some(40),
            _ => None,
        };
        unit.and_then(|shift| digits.parse::<u64>().ok()?.checked_mul(1 << shift))
            .map(Size)
            .ok_or_else(|| format!("{text:?} is not a size; write it as 500, 64KiB, 1MiB or 2GiB"))
    }
}

impl TryFrom<Size> for Rate {
    type Error = String;

    fn try_from(Size(bytes): Size) -> Result<Rate, String> {
        let too_much = |_| format!("{bytes} bytes a second are more than anybody sends");
        u32::try_from(bytes).map(Rate).map_err(too_much)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        text.parse::<Size>()?.try_into()
    }
}

impl TryFrom<Text> for Rate {
    type Error = String;

    fn try_from(text: Text) -> Result<Rate, String> {
        Size::try_from(text)?.try_into()
    }
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Variable, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() && !text.contains('\0') => {
                Ok(Variable { name: name.to_owned(), value: value.to_owned() })
            }
            _ => Err(format!("{text:?} is not a variable; write it as NAME=VALUE")),
        }
    }
}

impl TryFrom<String> for Variable {
    type Error = String;

    fn try_from(text: String) -> Result<Variable, String> {
        text.parse()
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Span, String> {
        text.parse()
    }
}

impl TryFrom<String> for Limit {
    type Error = String;

    fn try_from(text: String) -> Result<Limit, String> {
        text.parse()
    }
}

impl TryFrom<Text> for Size {
    type Error = String;

    fn try_from(text: Text) -> Result<Size, String> {
        match text {
            Text::Number(bytes) => Ok(Size(bytes)),
            Text::String(text) => text.parse(),
        }
    }
}

/// What clients are allowed. What is left out is as the library has it; every default can face the
/// internet.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[command(next_help_heading = "Limits")]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Limits {
    /// Number of connections that there may be at a time. Further clients wait until one ends; none
    /// is refused [default: 10000]
    #[arg(long, value_name = "N")]
    max_connections: Option<Count>,
    /// Number of them that one address (of IPv6: one /64) may have; further ones are closed at once
    /// [default: 1024]
    #[arg(long, value_name = "N")]
    pub(super) per_address: Option<Count>,
    /// Time that a connection is kept without a request [default: 60s]
    #[arg(long, value_name = "DURATION")]
    idle_timeout: Option<Limit>,
    /// Longest time that a client may take for the head of a request (for all of a small one), and
    /// for a TLS handshake [default: 10s]
    #[arg(long, value_name = "DURATION")]
    head_timeout: Option<Limit>,
    /// Longest time that the answer to one request may take, with the reading of its body [default:
    /// no limit]
    #[arg(long, value_name = "DURATION")]
    request_timeout: Option<Limit>,
    /// Bytes a second, such as 500 or 1KiB, that a client must send of a body, and take of an
    /// answer, on average. The connection of a slower one is closed. 0: clients may be as slow as
    /// they like [default: 500]
    #[arg(long, value_name = "SIZE")]
    rate: Option<Rate>,
    /// Longest time that a client may fall behind --rate, and so may pause [default: 60s]
    #[arg(long, value_name = "DURATION")]
    slack: Option<Limit>,
}

impl Limits {
    /// Refuses a limit that another one makes meaningless.
    pub(super) fn check(&self, source: &Source, faults: &mut Faults) {
        if self.slack.is_some() && self.rate == Some(Rate(0)) {
            faults.add(format_args!(
                "{}: with a {} of 0 clients may be as slow as they like: raise that, or leave {} \
                 out",
                source.place("limits.slack", None),
                source.name("rate"),
                source.name("slack"),
            ));
        }
    }

    pub(super) fn resolve(&self) -> overlapped_serve::Limits {
        let usual = overlapped_serve::Limits::default();
        let time = |limit: Option<Limit>, usual| limit.map_or(usual, |Limit(time)| time);
        overlapped_serve::Limits {
            connections: self.max_connections.map_or(usual.connections, Count::get),
            per_address: self.per_address.map_or(usual.per_address, Count::get),
            idle: time(self.idle_timeout, usual.idle),
            head: time(self.head_timeout, usual.head),
            request: self.request_timeout.map(|Limit(time)| time).or(usual.request),
            rate: self.rate.map_or(usual.rate, |Rate(bytes)| bytes),
            allowance: time(self.slack, usual.allowance),
            ..usual
        }
    }
}

/// The form of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum LogFormat {
    Combined,
    Json,
}

/// What the whole process does.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Process")]
pub(super) struct Process {
    /// On how many threads to serve; the kernel spreads the clients over them [default: 1]
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<Count>,
    /// Longest time that requests that are being answered may go on after SIGTERM or Ctrl-C
    /// [default: 10s]
    #[arg(long, value_name = "DURATION")]
    pub(super) drain: Option<Span>,
    /// Time that clients are still served after SIGTERM or Ctrl-C while /readyz (see --metrics)
    /// already answers 503. Longer than load balancers take to notice [default: 0s]
    #[arg(long, value_name = "DURATION")]
    pub(super) lame_duck: Option<Span>,
    /// Answers /metrics (for Prometheus), /healthz and /readyz on this address of its own
    #[arg(long, value_name = "ADDR")]
    pub(super) metrics: Option<String>,
    /// Appends a line for each request to this file; - is standard output. SIGHUP has it opened
    /// anew
    #[arg(long, value_name = "FILE")]
    pub(super) access_log: Option<std::path::PathBuf>,
    /// Format of the lines of --access-log: as Apache and nginx do by default, or as JSON
    /// [default: combined]
    #[arg(long, value_name = "FORMAT", requires = "access_log")]
    pub(super) log_format: Option<LogFormat>,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units_and_an_error_shows_how_to_write_them() {
        for (text, bytes) in [("0", 0), ("500", 500), ("64KiB", 65536), ("1 GiB", 1 << 30)] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "KiB", "-1", "1.5MiB", "1kB", "99999999999TiB"] {
            let error = text.parse::<Size>().unwrap_err();
            assert!(error.contains("64KiB"), "{error}");
        }
    }

    #[test]
    fn a_rate_is_written_as_a_size_in_a_flag_and_in_a_file() {
        for (text, bytes) in [("0", 0), ("500", 500), ("100KiB", 100 << 10)] {
            assert_eq!(text.parse(), Ok(Rate(bytes)), "{text}");
        }
        assert!("5GiB".parse::<Rate>().unwrap_err().contains("more than anybody"));
        for (text, bytes) in [("rate = 500", 500), ("rate = \"100KiB\"", 100 << 10)] {
            let limits: Limits = toml::from_str(text).unwrap();
            assert_eq!(limits.rate, Some(Rate(bytes)), "{text}");
        }
    }

    #[test]
    fn a_variable_has_a_name_and_a_value_that_may_be_empty_or_have_more_signs() {
        let variable = |text: &str| text.parse().map(|Variable { name, value }| (name, value));
        assert_eq!(variable("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert_eq!(variable("A="), Ok(("A".to_owned(), String::new())));
        for text in ["", "A", "=b"] {
            assert!(variable(text).unwrap_err().contains("NAME=VALUE"), "{text}");
        }
    }

    #[test]
    fn a_limit_is_never_zero_and_a_drain_may_be() {
        assert_eq!("0s".parse(), Ok(Span(Duration::ZERO)));
        assert!("0s".parse::<Limit>().unwrap_err().contains("leave it out"));
        assert!("soon".parse::<Limit>().unwrap_err().contains("500ms, 30s or 5m"));
    }
}
