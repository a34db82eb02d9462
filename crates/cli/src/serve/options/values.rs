//! Values of flags and of keys, parsed from text by one grammar.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

/// A duration, such as `500ms`, `30s` or `5m`; it may be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::serve) struct TimeSpan(pub(in crate::serve) Duration);

/// A time limit. Zero is refused, since nothing could meet it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::serve) struct TimeLimit(pub(in crate::serve) Duration);

/// A number of bytes, such as `500`, `64KiB`, `1MiB`, `2GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Text")]
pub(crate) struct Size(pub(crate) u64);

/// A number of bytes a second, written as a [`Size`]; it may be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Text")]
pub(in crate::serve) struct Rate(pub(in crate::serve) u32);

/// A limit on a number. Zero is refused, since it would let nothing through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub(in crate::serve) struct Count(NonZeroU32);

/// An environment variable, `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::serve) struct Variable {
    pub(in crate::serve) name: String,
    pub(in crate::serve) value: String,
}

/// Lets values be strings of the configuration file, read as those of flags.
macro_rules! read_from_strings {
    ($($value:ty),*) => {
        $(impl TryFrom<String> for $value {
            type Error = String;

            fn try_from(text: String) -> Result<$value, String> {
                text.parse()
            }
        })*
    };
}
pub(super) use read_from_strings;

read_from_strings!(TimeSpan, TimeLimit, Variable);

/// A value that a file may give as a number or as a string.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a number of bytes, or a string such as \"64KiB\" or \"1GiB\"")]
enum Text {
    Number(u64),
    String(String),
}

impl FromStr for TimeSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<TimeSpan, String> {
        let explain = |_| format!("{text:?} is not a duration: write it as 500ms, 30s or 5m");
        humantime::parse_duration(text).map(TimeSpan).map_err(explain)
    }
}

impl FromStr for TimeLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<TimeLimit, String> {
        match text.parse()? {
            TimeSpan(Duration::ZERO) => {
                Err("nothing could ever meet a time limit of zero: leave it out for the default"
                    .to_owned())
            }
            TimeSpan(time) => Ok(TimeLimit(time)),
        }
    }
}

impl Count {
    pub(in crate::serve) fn get(self) -> usize {
        // A `usize` has at least 32 bits on every supported system.
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
        NonZeroU32::new(number)
            .map(Count)
            .ok_or("zero would let nothing through: leave it out, or give a number of at least 1")
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
            .ok_or_else(|| format!("invalid size {text:?}: write it as 500, 64KiB, 1MiB or 2GiB"))
    }
}

impl TryFrom<Size> for Rate {
    type Error = String;

    fn try_from(Size(bytes): Size) -> Result<Rate, String> {
        let too_much = |_| format!("{bytes} bytes a second is above the maximum, 4294967295");
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
            _ => Err(format!("invalid variable {text:?}: write it as NAME=VALUE")),
        }
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

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::options::server::Limits;

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
        assert!("5GiB".parse::<Rate>().unwrap_err().contains("above the maximum"));
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
        assert_eq!("0s".parse(), Ok(TimeSpan(Duration::ZERO)));
        assert!("0s".parse::<TimeLimit>().unwrap_err().contains("leave it out"));
        assert!("soon".parse::<TimeLimit>().unwrap_err().contains("500ms, 30s or 5m"));
    }
}
