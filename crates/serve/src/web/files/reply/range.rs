//! Ranges of bytes (RFC 9110, section 14).

use std::ops::Range;

/// The maximum of ranges in a request. More suggest an attack; the whole content is sent instead.
const RANGES_MAX: usize = 16;

/// The ranges that a `Range` field asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// The whole content: the field is malformed, or has too many ranges.
    Whole,
    /// None of the ranges is within the content.
    Unsatisfiable,
    /// These ranges; at least one, and none is empty.
    Satisfiable(Vec<Range<u64>>),
}

/// Parses `field` for a content of `len` bytes.
///
/// If ranges overlap, they are merged and sorted; otherwise they keep their order. So no byte is
/// sent twice.
pub(crate) fn parse(field: &str, len: u64) -> Ranges {
    let Some((unit, set)) = field.split_once('=') else {
        return Ranges::Whole;
    };
    // Some clients ask for `0-` of every file, and an empty content has no range.
    if !unit.trim().eq_ignore_ascii_case("bytes") || len == 0 {
        return Ranges::Whole;
    }
    let mut ranges = Vec::new();
    let mut count = 0;
    for spec in set.split(',').map(str::trim).filter(|spec| !spec.is_empty()) {
        count += 1;
        match parse_one(spec, len) {
            Some(Some(range)) => ranges.push(range),
            Some(None) => {}
            None => return Ranges::Whole,
        }
        if count > RANGES_MAX {
            return Ranges::Whole;
        }
    }
    match (count, ranges.len()) {
        (0, _) => Ranges::Whole,
        (_, 0) => Ranges::Unsatisfiable,
        _ => Ranges::Satisfiable(without_overlaps(ranges)),
    }
}

/// Parses one range. Returns `None` if it is malformed, and `Some(None)` if it is not satisfiable.
fn parse_one(spec: &str, len: u64) -> Option<Option<Range<u64>>> {
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

/// Parses a number; one that is too large becomes the maximum.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// Merges overlapping ranges.
fn without_overlaps(ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted = ranges.clone();
    sorted.sort_by_key(|range| range.start);
    if sorted.windows(2).all(|two| two[0].end <= two[1].start) {
        return ranges;
    }
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(ranges: &[(u64, u64)]) -> Ranges {
        Ranges::Satisfiable(ranges.iter().map(|(first, last)| *first..last + 1).collect())
    }

    /// The examples of RFC 9110, section 14.1.2, for 10,000 bytes.
    #[test]
    fn the_examples_of_the_rfc_are_parsed_as_specified() {
        for (field, expected) in [
            ("bytes=0-499", ranges(&[(0, 499)])),
            ("bytes=500-999", ranges(&[(500, 999)])),
            ("bytes=-500", ranges(&[(9500, 9999)])),
            ("bytes=9500-", ranges(&[(9500, 9999)])),
            ("bytes=0-0,-1", ranges(&[(0, 0), (9999, 9999)])),
            ("bytes= 0-999, 4500-5499, -1000", ranges(&[(0, 999), (4500, 5499), (9000, 9999)])),
            ("bytes=500-600,601-999", ranges(&[(500, 600), (601, 999)])),
            ("bytes=500-700,601-999", ranges(&[(500, 999)])),
        ] {
            assert_eq!(parse(field, 10_000), expected, "{field}");
        }
    }

    #[test]
    fn ranges_are_limited_to_the_content_or_unsatisfiable() {
        for (field, len, expected) in [
            ("bytes=5-100", 10, ranges(&[(5, 9)])),
            ("bytes=-100", 10, ranges(&[(0, 9)])),
            ("bytes=9-9", 10, ranges(&[(9, 9)])),
            ("BYTES=9-", 10, ranges(&[(9, 9)])),
            ("bytes=10-", 10, Ranges::Unsatisfiable),
            ("bytes=-0", 10, Ranges::Unsatisfiable),
            ("bytes=10-,20-30", 10, Ranges::Unsatisfiable),
            ("bytes=10-,2-3", 10, ranges(&[(2, 3)])),
            ("bytes=0-99999999999999999999999", 10, ranges(&[(0, 9)])),
            ("bytes=99999999999999999999999-", 10, Ranges::Unsatisfiable),
            ("bytes=0-", 0, Ranges::Whole),
            ("bytes=-1", 0, Ranges::Whole),
        ] {
            assert_eq!(parse(field, len), expected, "{field}");
        }
    }

    #[test]
    fn malformed_fields_mean_the_whole_content() {
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
    fn too_many_ranges_mean_the_whole_content_and_no_byte_is_sent_twice() {
        let flood = format!("bytes={}", vec!["0-0"; RANGES_MAX + 1].join(","));
        assert_eq!(parse(&flood, 10), Ranges::Whole);
        let most = format!("bytes={}", vec!["0-"; RANGES_MAX].join(","));
        assert_eq!(parse(&most, 10), ranges(&[(0, 9)]));
        assert_eq!(parse("bytes=8-9,0-1", 10), ranges(&[(8, 9), (0, 1)]));
        assert_eq!(parse("bytes=8-9,0-3,2-4", 10), ranges(&[(0, 4), (8, 9)]));
    }
}
