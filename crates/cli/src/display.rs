//! Names and numbers for messages.

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use indicatif::HumanCount;

/// Formats a count with its noun, as in `1 file` and `2 files`.
pub(crate) fn count(count: u64, one: &str) -> String {
    count_irregular(count, one, &format!("{one}s"))
}

/// Formats a count with a noun whose plural does not just add an `s`.
pub(crate) fn count_irregular(count: u64, one: &str, several: &str) -> String {
    format!("{} {}", HumanCount(count), if count == 1 { one } else { several })
}

/// Returns the system's text for an error without its number, such as "No space left on device"
/// without "(os error 28)".
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.rfind(" (os error ").map_or(text.clone(), |end| text[..end].to_owned())
}

/// A path for display in one line of a terminal: characters that would move the cursor, change
/// colours, end the line or turn the direction of writing are escaped, and so are bytes that are
/// not UTF-8.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Escaped<'a>(&'a Path);

impl<'a> Escaped<'a> {
    pub(crate) fn new(path: &'a Path) -> Escaped<'a> {
        Escaped(path)
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.as_os_str().as_bytes().utf8_chunks() {
            for character in chunk.valid().chars() {
                if is_harmful(character) {
                    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                        write!(f, "\\x{byte:02x}")?;
                    }
                } else {
                    fmt::Write::write_char(f, character)?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Tells whether it is a control (C0, DEL, C1), a line end, or a mark that changes the direction of
/// writing.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(character, '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn numbers_agree_with_their_nouns() {
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!([count(0, "file"), count(1000, "file")], ["0 files", "1,000 files"]);
        assert_eq!(count_irregular(1, "was", "were"), "1 was");
    }

    #[test]
    fn characters_that_control_a_terminal_are_escaped_and_text_stays() {
        for (name, shown) in [
            (&b"photos/\xc3\xa4 b.jpg"[..], "photos/\u{e4} b.jpg"),
            (b"\x1b]0;title\x07\x1b[31m", "\\x1b]0;title\\x07\\x1b[31m"),
            (b"a\nfailed: b\rc\t\x7f", "a\\x0afailed: b\\x0dc\\x09\\x7f"),
            (b"no text \xff\xc3", "no text \\xff\\xc3"),
            (
                "\u{9b}31m \u{202e}gpj.exe \u{2028}".as_bytes(),
                "\\xc2\\x9b31m \\xe2\\x80\\xaegpj.exe \\xe2\\x80\\xa8",
            ),
        ] {
            assert_eq!(Escaped::new(Path::new(OsStr::from_bytes(name))).to_string(), shown);
        }
    }
}
