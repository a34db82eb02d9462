//! Explains faults of a configuration file to its user: the key, its location, the expected value,
//! and an example from the annotated file.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::example::example;
use super::source::{Position, Text};

/// Makes a message of the fault and its remedy.
pub(super) fn explain(text: &Text, error: &toml::de::Error) -> String {
    let span = error.span();
    let location = match &span {
        Some(span) => {
            format!("{}, {}", text.path().display(), Position::new(text.text(), span.start))
        }
        None => text.path().display().to_string(),
    };
    let keys = span.map_or_else(Vec::new, |span| keys(text.text(), span.start));
    let what = words(error.message().trim_end(), keys.last().map(String::as_str));
    let remedy = "`overlapped serve --example-config` prints every key with an example";
    match keys.iter().rev().find_map(|key| example(key)) {
        Some((_, line)) => format!("{location}: {what}. An example:\n\n    {line}\n\n{remedy}"),
        None => format!("{location}: {what}. {remedy}"),
    }
}

/// Turns the parser's message into a sentence about the innermost key at the location, if there is
/// one.
fn words(message: &str, key: Option<&str>) -> String {
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let (field, rest) = rest.split_once('`').unwrap_or((rest, ""));
        let known = rest.split_once("one of ").map_or("", |(_, known)| known);
        return match example(field) {
            Some((table, _)) => {
                format!("the key `{field}` does not belong to this table: {table}")
            }
            None => format!("unknown key `{field}`; this table has {known}"),
        };
    }
    if let Some(field) = message.strip_prefix("missing field ") {
        return format!("this table lacks the key {field}");
    }
    let key = match key {
        Some("server") if needed(message).is_some() => {
            return "each server starts with [[server]], in double brackets".to_owned();
        }
        Some(key) => key,
        None => return message.to_owned(),
    };
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        return format!("`{key}` cannot be {}", rest.replacen(", expected", "; allowed:", 1));
    }
    match needed(message) {
        Some(what) => format!("`{key}` {what}"),
        None => format!("`{key}`: {message}"),
    }
}

/// Turns serde's message about a value of another type into a sentence about its key.
fn needed(message: &str) -> Option<String> {
    let rest = ["invalid type: ", "invalid value: "];
    let rest = rest.into_iter().find_map(|begin| message.strip_prefix(begin))?;
    let (found, expected) = rest.trim_end().rsplit_once(", expected ")?;
    let found = match found.split_once(' ') {
        Some(("floating", _)) => found.replacen("floating point", "the number", 1),
        Some(("boolean", value)) => value.to_owned(),
        Some(("integer" | "string", _)) => format!("the {found}"),
        _ if found == "map" => "a table".to_owned(),
        _ if found == "sequence" => "a list".to_owned(),
        _ => found.to_owned(),
    };
    let expected = match expected {
        "a sequence" => "a list in brackets",
        "a boolean" => "true or false",
        "a map" | "map" => "a table",
        "usize" | "u64" | "u32" => "a whole number without a sign",
        _ if expected.starts_with("struct ") => "a table",
        _ => expected,
    };
    Some(format!("is {}, but must be {expected}", found.replace('`', "")))
}

/// Finds the keys on the path to the value at `at`, the innermost last.
fn keys(text: &str, at: usize) -> Vec<String> {
    let Ok(table) = DeTable::parse(text) else { return Vec::new() };
    let found = table.get_ref().iter().find_map(|(key, value)| path(key.get_ref(), value, at));
    let mut keys = found.unwrap_or_default();
    keys.reverse();
    keys
}

/// Finds the keys on the path within a key and its value, the innermost first.
fn path(key: &str, value: &Spanned<DeValue<'_>>, at: usize) -> Option<Vec<String>> {
    let inner = within(value, at).or_else(|| value.span().contains(&at).then(Vec::new));
    inner.map(|mut keys| {
        keys.push(key.to_owned());
        keys
    })
}

fn within(value: &Spanned<DeValue<'_>>, at: usize) -> Option<Vec<String>> {
    match value.get_ref() {
        DeValue::Table(table) => {
            table.iter().find_map(|(key, value)| path(key.get_ref(), value, at))
        }
        DeValue::Array(array) => array.iter().find_map(|value| {
            within(value, at).or_else(|| value.span().contains(&at).then(Vec::new))
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_value_are_found() {
        let text = "a = 1\n[[server]]\nlisten = ['x', 2]\n[server.http]\nlist = 3\n";
        for (value, expected) in [
            ("1", &["a"][..]),
            ("'x'", &["server", "listen"]),
            ("2]", &["server", "listen"]),
            ("3", &["server", "http", "list"]),
        ] {
            assert_eq!(keys(text, text.find(value).unwrap()), expected, "{value}");
        }
    }

    #[test]
    fn messages_of_serde_about_types_are_rephrased_and_others_are_left() {
        for (message, expected) in [
            (
                "invalid type: integer `8080`, expected a string",
                "is the integer 8080, but must be a string",
            ),
            ("invalid type: sequence, expected a boolean", "is a list, but must be true or false"),
            (
                "invalid value: integer `-1`, expected u64",
                "is the integer -1, but must be a whole number",
            ),
            (
                "invalid type: string \"x\", expected a sequence",
                "is the string \"x\", but must be a list",
            ),
        ] {
            assert!(needed(message).unwrap().starts_with(expected), "{:?}", needed(message));
        }
        assert_eq!(needed("missing field `protocol`"), None);
    }

    #[test]
    fn an_unknown_key_of_another_table_is_reported_with_that_table() {
        let unknown = |field: &str| {
            words(&format!("unknown field `{field}`, expected one of `a`, `b`"), None)
        };
        assert!(unknown("rate").ends_with("it belongs to [server.limits]"), "{}", unknown("rate"));
        assert!(unknown("listen").ends_with("it belongs to [[server]]"));
        assert!(unknown("cgi").ends_with("it belongs to [server.http]"));
        assert!(unknown("drain").ends_with("it belongs before the first [[server]]"));
        assert!(unknown("lisen").ends_with("this table has `a`, `b`"));
    }
}
