//! The form of a chunk's extensions (RFC 9112, section 7.1.1), without the spaces that it allows
//! and advises against.

use super::super::scan::is_token;
use super::is_text;

/// Where in an extension the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extension {
    /// After the semicolon.
    Begin,
    Name,
    /// After the equals sign.
    ValueBegin,
    Value,
    Quoted,
    /// After a backslash between quotes.
    Escaped,
    /// After the second quote.
    QuotedEnd,
}

impl Extension {
    /// Where the byte after `byte` stands; `None` if `byte` may not stand here.
    pub(crate) fn next(self, byte: u8) -> Option<Extension> {
        use Extension::{Begin, Escaped, Name, Quoted, QuotedEnd, Value, ValueBegin};
        Some(match (self, byte) {
            (Name | Value | QuotedEnd, b';') => Begin,
            (Name, b'=') => ValueBegin,
            (Begin | Name, byte) if is_token(byte) => Name,
            (ValueBegin, b'"') => Quoted,
            (ValueBegin | Value, byte) if is_token(byte) => Value,
            (Quoted, b'"') => QuotedEnd,
            (Quoted, b'\\') => Escaped,
            (Quoted | Escaped, byte) if is_text(byte) => Quoted,
            _ => return None,
        })
    }

    /// Whether the line may end here.
    pub(crate) fn may_end(self) -> bool {
        matches!(self, Extension::Name | Extension::Value | Extension::QuotedEnd)
    }
}
