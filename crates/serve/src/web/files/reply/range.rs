//! Ranges of bytes (RFC 9110, section 14).

use std::ops::Range;

/// More than that is no reader of a document but a flood; the whole is sent instead.
const RANGES_MAX: usize = 16;

/// What a `Range` field asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// The whole: it is not understood, or it asks for too much.
    Whole,
    /// Nothing that is there.
    Unsatisfiable,
    /// These parts, at least one, none of them empty.
    Parts(Vec<Range<u64>>),
}

/// Reads `field`, for a content of `len` bytes.
///
/// Parts that overlap are made one, and the parts then are in the order of the content; otherwise
/// they stay in the order in which they were asked for. So no byte is sent twice.
pub(crate) fn parse(field: &str, len: u64) -> Ranges {
    let Some((unit, set)) = field.split_once('=') else {
        return Ranges::Whole;
    };
    // Some clients ask for `0-` of everything, and an empty content has no part.
    if !unit.trim().eq_ignore_ascii_case("bytes") || len == 0 {
        return Ranges::Whole;
    }
    let mut parts = Vec::new();
    let mut count = 0;
    for spec in set.split(',').map(str::trim).filter(|spec| !spec.is_empty()) {
        count += 1;
        match one(spec, len) {
            Some(Some(part)) => parts.push(part),
            Some(None) => {}
            None => return Ranges::Whole,
        }
        if count > RANGES_MAX {
            return Ranges::Whole;
        }
    }
    match (count, parts.len()) {
        (0, _) => Ranges::Whole,
        (_, 0) => Ranges::Unsatisfiable,
        _ => Ranges::Parts(apart(parts)),
    }
}

/// One range: malformed, not satisfiable, or these bytes.
fn one(spec: &str, len: u64) -> Option<Option<Range<u64>>> {
    let (first, last) = spec.split_once('-')?;
    let range = match (first, last) {
        ("", suffix) => len.saturating_sub(number(suffix)?)..len,
        (first, "") => number(first)?..len,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(len)
        }
    };
    Some((range.start < range.end).then_some(range))
}

/// A number, at most as large as can be.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

fn apart(parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted = parts.clone();
    sorted.sort_by_key(|part| part.start);
    if sorted.windows(2).all(|two| two[0].end <= two[1].start) {
        return parts;
    }
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for part in sorted {
        match merged.last_mut() {
            Some(last) if part.start <= last.end => last.end = last.end.max(part.end),
            _ => merged.push(part),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(ranges: &[(u64, u64)]) -> Ranges {
        Ranges::Parts(ranges.iter().map(|(first, last)| *first..last + 1).collect())
    }

    /// The examples of RFC 9110, section 14.1.2, for 10,000 bytes.
    #[test]
    fn the_examples_of_the_rfc_are_read_as_it_says() {
        for (field, expected) in [
            ("bytes=0-499", parts(&[(0, 499)])),
            ("bytes=500-999", parts(&[(500, 999)])),
            ("bytes=-500", parts(&[(9500, 9999)])),
            ("bytes=9500-", parts(&[(9500, 9999)])),
            ("bytes=0-0,-1", parts(&[(0, 0), (9999, 9999)])),
            ("bytes= 0-999, 4500-5499, -1000", parts(&[(0, 999), (4500, 5499), (9000, 9999)])),
            ("bytes=500-600,601-999", parts(&[(500, 600), (601, 999)])),
            ("bytes=500-700,601-999", parts(&[(500, 999)])),
        ] {
            assert_eq!(parse(field, 10_000), expected, "{field}");
        }
    }

    #[test]
    fn ranges_are_cut_to_the_content_or_refused() {
        for (field, len, expected) in [
            ("bytes=5-100", 10, parts(&[(5, 9)])),
            ("bytes=-100", 10, parts(&[(0, 9)])),
            ("bytes=9-9", 10, parts(&[(9, 9)])),
            ("BYTES=9-", 10, parts(&[(9, 9)])),
            ("bytes=10-", 10, Ranges::Unsatisfiable),
            ("bytes=-0", 10, Ranges::Unsatisfiable),
            ("bytes=10-,20-30", 10, Ranges::Unsatisfiable),
            ("bytes=10-,2-3", 10, parts(&[(2, 3)])),
            ("bytes=0-99999999999999999999999", 10, parts(&[(0, 9)])),
            ("bytes=99999999999999999999999-", 10, Ranges::Unsatisfiable),
            ("bytes=0-", 0, Ranges::Whole),
            ("bytes=-1", 0, Ranges::Whole),
        ] {
            assert_eq!(parse(field, len), expected, "{field}");
        }
    }

    #[test]
    fn what_is_not_understood_means_the_whole() {
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=a-b",
            "bytes=3-2",
            "bytes=1",
            "bytes=-",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=0x1-2",
            "lines=1-2",
            "bytes=0-1,x",
        ] {
            assert_eq!(parse(field, 10), Ranges::Whole, "{field}");
        }
    }

    #[test]
    fn floods_mean_the_whole_and_no_byte_is_sent_twice() {
        let flood = format!("bytes={}", vec!["0-0"; RANGES_MAX + 1].join(","));
        assert_eq!(parse(&flood, 10), Ranges::Whole);
        let most = format!("bytes={}", vec!["0-"; RANGES_MAX].join(","));
        assert_eq!(parse(&most, 10), parts(&[(0, 9)]));
        assert_eq!(parse("bytes=8-9,0-1", 10), parts(&[(8, 9), (0, 1)]));
        assert_eq!(parse("bytes=8-9,0-3,2-4", 10), parts(&[(0, 4), (8, 9)]));
    }
}
