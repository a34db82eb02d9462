//! Escapes text from clients, so that it is safe in a log.

use std::fmt::{self, Write};

/// Text that is displayed as one line of printable ASCII without quotation marks; other bytes as
/// `\xHH`. So no client can begin a new line, leave its field, or move a terminal's cursor.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        let mut rest = self.0;
        while !rest.is_empty() {
            // Plain bytes are ASCII, so both ends are character boundaries.
            let plain = rest.bytes().position(|byte| !is_plain(byte)).unwrap_or(rest.len());
            f.write_str(&rest[..plain])?;
            let mut chars = rest[plain..].chars();
            if let Some(odd) = chars.next() {
                for byte in odd.encode_utf8(&mut [0; 4]).bytes() {
                    write!(f, "\\x{byte:02X}")?;
                }
            }
            rest = chars.as_str();
        }
        Ok(())
    }
}

impl fmt::Debug for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        fmt::Display::fmt(self, f)?;
        f.write_char('"')
    }
}

/// Text that is displayed in one line for people: characters that are not printable are escaped as
/// in Rust. Quotation marks and backslashes stay, because nothing encloses the text.
pub(crate) struct Visible<'a>(pub(crate) &'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in self.0.split_inclusive(['"', '\'', '\\']) {
            let plain = piece.trim_end_matches(['"', '\'', '\\']);
            write!(f, "{}{}", plain.escape_debug(), &piece[plain.len()..])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_text_keeps_quotation_marks_and_escapes_what_moves_a_cursor() {
        let said = "File \"/tmp/x\", 'cgi' \\ ä\t\u{1b}[31m\r\u{202e}\\";
        let shown = "File \"/tmp/x\", 'cgi' \\ ä\\t\\u{1b}[31m\\r\\u{202e}\\";
        assert_eq!(Visible(said).to_string(), shown);
    }

    #[test]
    fn h14_control_bytes_quotes_and_non_ascii_characters_are_escaped() {
        let odd = "GET /\r\n\"\\\u{1b}[31m\u{7f}\u{85}\u{2028}ä HTTP/1.1";
        assert_eq!(
            Escaped(odd).to_string(),
            "GET /\\x0D\\x0A\\x22\\x5C\\x1B[31m\\x7F\\xC2\\x85\\xE2\\x80\\xA8\\xC3\\xA4 HTTP/1.1"
        );
    }
}
