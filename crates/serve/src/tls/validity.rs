//! The validity of a certificate (RFC 5280, section 4.1.2.5).
//!
//! rustls checks it in the certificates of peers only. Of its own certificates a server needs these
//! two dates and nothing else, so they are read here, a few steps into the structure.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;

/// Tags of DER.
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

/// Returns an error if a certificate of `chain`, which was read from `path`, is not valid at `now`.
/// A certificate that cannot be parsed is left to rustls.
pub(super) fn check(chain: &[CertificateDer<'_>], path: &Path, now: SystemTime) -> io::Result<()> {
    for certificate in chain {
        let Some((begin, end)) = validity(certificate) else { continue };
        let (path, date) = (path.display(), httpdate::fmt_http_date);
        let text = if now > end {
            format!(
                "the certificate {path} expired on {}: clients refuse it. Renew it; at SIGHUP a \
                 running server reads it again.",
                date(end)
            )
        } else if now < begin {
            format!(
                "the certificate {path} is not valid before {}: clients refuse it. If that date \
                 has passed, the clock of this machine is wrong.",
                date(begin)
            )
        } else {
            continue;
        };
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(())
}

/// Returns the begin and the end of the validity.
fn validity(certificate: &[u8]) -> Option<(SystemTime, SystemTime)> {
    let (signed, _) = expect(certificate, SEQUENCE)?;
    let (mut fields, _) = expect(signed, SEQUENCE)?;
    if let Some((VERSION, _, rest)) = element(fields) {
        fields = rest;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (times, _) = expect(fields, SEQUENCE)?;
    let (tag, begin, times) = element(times)?;
    let begin = time(tag, begin)?;
    let (tag, end, _) = element(times)?;
    Some((begin, time(tag, end)?))
}

/// Returns tag and content of the first element, and the bytes behind it.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, input) = input.split_first()?;
    let (&first, mut input) = input.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let digits = usize::from(first & 0x7f);
        if !(1..=4).contains(&digits) {
            return None;
        }
        let (bytes, rest) = input.split_at_checked(digits)?;
        length = bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
        input = rest;
    }
    let (content, rest) = input.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// Returns the content of the first element, which must have the tag `wanted`, and the bytes behind
/// it.
fn expect(input: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(input)?;
    (tag == wanted).then_some((content, rest))
}

/// Parses `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn time(tag: u8, text: &[u8]) -> Option<SystemTime> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| {
        digits.iter().fold(0_i64, |number, &digit| number * 10 + i64::from(digit - b'0'))
    };
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(&digits[..2]);
            (if year < 50 { year + 2000 } else { year + 1900 }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let parts: Vec<i64> = rest.chunks(2).map(number).collect();
    let [month @ 1..=12, day @ 1..=31, hour, minute, second] = parts[..] else { return None };
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    // All that matters of a date before 1970 is that it has passed.
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// Returns the days from 1970-01-01 to a day of the civil calendar (Howard Hinnant,
/// `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_both_formats_are_parsed() {
        let date = |tag, text: &[u8]| time(tag, text).map(httpdate::fmt_http_date);
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(date(UTC_TIME, b"240229123456Z"), is("Thu, 29 Feb 2024 12:34:56 GMT"));
        assert_eq!(date(UTC_TIME, b"991231235959Z"), is("Fri, 31 Dec 1999 23:59:59 GMT"));
        assert_eq!(date(GENERALIZED_TIME, b"20500101000000Z"), is("Sat, 01 Jan 2050 00:00:00 GMT"));
        for text in [&b"240229123456"[..], b"2402291234Z", b"241329123456Z", b"24022912345xZ"] {
            assert_eq!(date(UTC_TIME, text), None);
        }
    }

    #[test]
    fn the_validity_of_a_certificate_is_read_and_other_bytes_are_ignored() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["a".to_owned()]).unwrap();
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2020, 1, 2), rcgen::date_time_ymd(2051, 3, 4));
        let der = params.self_signed(&key).unwrap().der().clone();
        let (begin, end) = validity(&der).unwrap();
        assert_eq!(httpdate::fmt_http_date(begin), "Thu, 02 Jan 2020 00:00:00 GMT");
        assert_eq!(httpdate::fmt_http_date(end), "Sat, 04 Mar 2051 00:00:00 GMT");
        for length in 0..der.len() {
            let _ = validity(&der[..length]);
        }
        assert_eq!(validity(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
