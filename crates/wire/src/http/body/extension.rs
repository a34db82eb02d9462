//! The syntax of a chunk's extensions (RFC 9112, section 7.1.1), without the optional spaces, which
//! the RFC discourages.

use super::super::scan::{is_text, is_token};

/// The position of the next byte within an extension.
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
    /// The position after `byte`; `None` if `byte` is not allowed here.
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

    /// Tells whether the line may end here.
    pub(crate) fn may_end(self) -> bool {
        matches!(self, Extension::Name | Extension::Value | Extension::QuotedEnd)
    }
}
