//! The examples in documentation, as tests.

use super::items::{Item, Role, SHIM, features, renamed};

/// Makes items of the examples in a file, and lists the features that they ask for.
pub(super) fn parse(text: &str) -> (Vec<Item>, Vec<String>) {
    let mut items = Vec::new();
    let mut asked = Vec::new();
    for block in blocks(text) {
        asked.extend(features(&block.code));
        items.extend(block.item());
    }
    (items, asked)
}

/// One example.
struct Block {
    /// The line where it begins.
    line: usize,
    /// The words after its fence.
    kind: String,
    code: String,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let Some(line) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else {
            open = None;
            continue;
        };
        let line = line.strip_prefix(' ').unwrap_or(line);
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(kind), None) => {
                let kind = kind.trim().to_owned();
                open = Some(Block { line: number + 1, kind, code: String::new() });
            }
            (None, Some(block)) => {
                block.code.push_str(shown(line));
                block.code.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// Returns a line without the mark that hides it.
fn shown(line: &str) -> &str {
    let bare = line.trim_start();
    match bare.strip_prefix("# ") {
        Some(hidden) => hidden,
        None if bare == "#" => "",
        None => line,
    }
}

impl Block {
    fn item(&self) -> Option<Item> {
        let words: Vec<&str> =
            self.kind.split([',', ' ']).filter(|word| !word.is_empty()).collect();
        let known = ["rust", "no_run", "should_panic"];
        if !words.iter().all(|word| known.contains(word) || word.starts_with("edition")) {
            return None;
        }
        let lines = self.code.lines().filter(|line| !line.trim_start().starts_with("#!["));
        let code: String = lines.flat_map(|line| [line, "\n"]).collect();
        let code = renamed(&code, None).ok()?;
        let body = if code.contains("fn main()") {
            format!("{code}\n{SHIM}::ended(main());")
        } else if code.trim_end().ends_with("(())") {
            format!(
                "fn inner() -> Result<(), impl core::fmt::Debug> {{ {code} }}\ninner().unwrap();"
            )
        } else {
            code
        };
        let name = format!("line_{}", self.line);
        if words.contains(&"no_run") {
            let text = format!("fn {name}() {{ {body} }}");
            return Some(Item::of(text, Role::Compiled(name)));
        }
        let panics = if words.contains(&"should_panic") { "#[should_panic] " } else { "" };
        let text = format!("#[test] {panics}fn {name}() {{ {SHIM}::within(|| {{ {body} }}) }}");
        Some(Item::of(text, Role::Test(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_become_tests() {
        let text = "/// ```no_run\n/// a();\n/// ```\n/// ```ignore\n/// b\n/// ```\n\
                    //! ```\n//! # use std::io;\n//! c();\n//! ```\n";
        let (items, _) = parse(text);
        assert_eq!(items.len(), 2);
        assert_eq!(items[0].role, Role::Compiled("line_1".to_owned()));
        assert_eq!(items[1].role, Role::Test("line_7".to_owned()));
        assert!(items[1].text.contains("use std_shim::io;\nc();"));
    }
}
