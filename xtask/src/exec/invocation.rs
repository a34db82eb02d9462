//! A program that is to be run: its arguments and its environment.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A program with its arguments and the environment that differs from ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invocation {
    program: String,
    arguments: Vec<String>,
    set: Vec<(String, String)>,
    unset: Vec<String>,
}

impl Invocation {
    /// Makes the invocation of `program` with `arguments`, which are separated by spaces.
    pub fn new(program: &str, arguments: &str) -> Invocation {
        let arguments = arguments.split_whitespace().map(str::to_owned).collect();
        Invocation { program: program.to_owned(), arguments, ..Invocation::default() }
    }

    /// Replaces the program by a path, which may have spaces.
    pub(crate) fn program(mut self, path: &Path) -> Invocation {
        self.program = path.to_string_lossy().into_owned();
        self
    }

    /// Makes the invocation of Cargo with `arguments`.
    pub fn cargo(arguments: &str) -> Invocation {
        Invocation::new("cargo", arguments)
    }

    /// Adds one argument, which may have spaces.
    pub fn arg(mut self, argument: &str) -> Invocation {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: &str) -> Invocation {
        self.set.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Removes a variable that this process may have.
    pub fn without_env(mut self, name: &str) -> Invocation {
        self.unset.push(name.to_owned());
        self
    }

    /// Makes this invocation an argument of `outer`, with the environment of both.
    pub fn under(self, outer: Invocation) -> Invocation {
        let Invocation { program, mut arguments, mut set, mut unset } = outer;
        arguments.push(self.program);
        arguments.extend(self.arguments);
        set.extend(self.set);
        unset.extend(self.unset);
        Invocation { program, arguments, set, unset }
    }

    pub(super) fn command(&self) -> Command {
        // Cargo tells its children which of the installed Cargos it is.
        let own = (self.program == "cargo").then(|| std::env::var_os("CARGO")).flatten();
        let mut command = Command::new(own.unwrap_or_else(|| self.program.clone().into()));
        command.args(&self.arguments);
        self.unset.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.envs(self.set.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the program silently, and tells whether it succeeded.
    pub fn probe(&self) -> bool {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

/// The command line as typed into a shell, without the removed variables.
impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.set {
            write!(f, "{name}={} ", quoted(value))?;
        }
        write!(f, "{}", self.program)?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", quoted(argument)))
    }
}

/// Puts quotes around a text with spaces.
fn quoted(text: &str) -> String {
    if text.contains(' ') { format!("'{text}'") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invocation_reads_as_typed() {
        let inner = Invocation::cargo("test p1_").env("A", "b c");
        let outer = Invocation::new("strace", "-f");
        assert_eq!(inner.under(outer).to_string(), "A='b c' strace -f cargo test p1_");
    }
}
