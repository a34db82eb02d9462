//! Rules about texts for readers: words, the names of files, doc comments.

pub(super) mod first_words;
pub(super) mod places;
pub(super) mod words;
