//! The location of a value: a flag, or a line of the configuration file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

/// The source of a server's values, or of the process's.
#[derive(Debug, Clone)]
pub(in crate::serve) enum Source {
    Flags,
    File {
        file: Arc<Text>,
        /// The server's number in the file; `None` for the process.
        server: Option<usize>,
    },
}

/// A configuration file.
#[derive(Debug)]
pub(in crate::serve) struct Text {
    path: PathBuf,
    text: String,
}

impl Text {
    pub(super) fn new(path: &Path, text: String) -> Text {
        Text { path: path.to_owned(), text }
    }

    pub(in crate::serve) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl Source {
    /// Returns a key's name within a message about another key: `--listen`, or `listen`.
    pub(in crate::serve) fn name(&self, key: &str) -> String {
        match self {
            Source::Flags => flag(key),
            Source::File { .. } => format!("`{key}`"),
        }
    }

    /// Returns a list's key with one value.
    pub(in crate::serve) fn value(&self, key: &str, value: &str) -> String {
        match self {
            Source::Flags => format!("{} {value}", flag(key)),
            Source::File { .. } => format!("{key} = [\"{value}\"]"),
        }
    }

    /// Finds the location of `key` (`http.folder`), or of its value with index `at`, for messages.
    pub(in crate::serve) fn location(&self, key: &str, at: Option<usize>) -> String {
        match self {
            Source::Flags => flag(key),
            Source::File { file, server } => {
                let position = Position::new(&file.text, offset(&file.text, *server, key, at));
                format!("{}, {position}", file.path.display())
            }
        }
    }
}

/// Returns the flag that corresponds to a key.
fn flag(key: &str) -> String {
    match key.rsplit('.').next().unwrap_or(key) {
        "folder" => "DIR".to_owned(),
        "tls" => "--tls-cert, --tls-key".to_owned(),
        name => format!("--{name}"),
    }
}

/// Finds the offset of the value, or of the innermost table around it that exists.
fn offset(text: &str, server: Option<usize>, key: &str, at: Option<usize>) -> usize {
    let Ok(table) = DeTable::parse(text) else { return 0 };
    let mut offset = 0;
    let mut value = DeValue::Table(table.into_inner());
    let mut descend = |step: Step<'_>| {
        let inner = match (&value, step) {
            (DeValue::Table(table), Step::Name(name)) => table.get(name),
            (DeValue::Array(array), Step::Number(number)) => array.get(number),
            _ => None,
        };
        let Some(inner) = inner.cloned() else { return };
        offset = inner.span().start;
        value = inner.into_inner();
    };
    if let Some(server) = server {
        descend(Step::Name("server"));
        descend(Step::Number(server));
    }
    key.split('.').for_each(|name| descend(Step::Name(name)));
    if let Some(at) = at {
        descend(Step::Number(at));
    }
    offset
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Name(&'a str),
    Number(usize),
}

/// A line and column in a text, counted from 1.
pub(super) struct Position {
    line: usize,
    column: usize,
}

impl Position {
    pub(super) fn new(text: &str, at: usize) -> Position {
        let before = &text[..at];
        let begin = before.rfind('\n').map_or(0, |at| at + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: before[begin..].chars().count() + 1,
        }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_named_by_its_line_or_by_its_flag() {
        let text = "metrics = 'x'\n[[server]]\nprotocol = 'echo'\n[[server]]\n\
                    listen = ['a',\n 'b']\n\
                    [server.http]\nfolder = '.'\n";
        let file = Arc::new(Text::new(Path::new("serve.toml"), text.to_owned()));
        let location =
            |server, key, at| Source::File { file: Arc::clone(&file), server }.location(key, at);
        assert_eq!(location(None, "metrics", None), "serve.toml, line 1, column 11");
        assert_eq!(location(Some(1), "listen", Some(1)), "serve.toml, line 6, column 2");
        assert_eq!(location(Some(1), "http.folder", None), "serve.toml, line 8, column 10");
        assert_eq!(location(Some(0), "listen", Some(0)), "serve.toml, line 2, column 1");
        assert_eq!(Source::Flags.location("listen", Some(1)), "--listen");
        assert_eq!(Source::Flags.location("http.cgi-prefix", None), "--cgi-prefix");
    }
}
