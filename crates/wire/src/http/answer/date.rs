//! The `Date` field, formatted once a second.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// The field's form, with its name and its line end.
const FIELD: &[u8; 37] = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";

/// The field for the second in which it was last formatted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Date {
    second: u64,
    field: [u8; FIELD.len()],
}

impl Default for Date {
    fn default() -> Date {
        Date { second: 0, field: *FIELD }
    }
}

impl Date {
    pub(crate) fn write(&mut self, now: SystemTime, out: &mut Vec<u8>) {
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second {
            self.second = second;
            // A year above 9999 does not fit the field, which then keeps its previous value.
            let _ = write!(&mut self.field[6..35], "{}", httpdate::HttpDate::from(now));
        }
        out.extend_from_slice(&self.field);
    }
}
