//! The rules: the texts of their findings.

/// A rule, for the message of a finding.
#[derive(Debug)]
pub struct Rule {
    /// The word in brackets in the message.
    pub name: &'static str,
    /// The reason for it.
    pub why: &'static str,
    /// The remedy for a finding.
    pub remedy: &'static str,
}

/// Imports between the rooms of a crate.
pub static IMPORTS: Rule = Rule {
    name: "imports",
    why: "imports point one way (io → net fs → pipe chan … → task → sched → driver → op → \
          sys), so that a room can be read, tested and replaced without those above it",
    remedy: "move the code to the room it belongs to, or pass the value in; a new room or a new \
             direction is entered in xtask/src/tidy/table.rs, with its reason",
};

/// Circles of imports between files.
pub static CIRCLES: Rule = Rule {
    name: "circles",
    why: "files that import each other in a circle are one file in several pieces: none of them \
          can be read, tested or moved without the others",
    remedy: "move what the lower file needs into a file of its own below both, or hand it in as a \
             value",
};

/// Catch-all arms in matches over operations.
pub static CATCH_ALL: Rule = Rule {
    name: "catch-all",
    why: "the compiler lists the matches that lack an arm for a new operation; a catch-all arm \
          hides its match from that list",
    remedy: "name the operations that the arm is for",
};

/// Rows of the table that nothing uses.
pub static UNUSED: Rule = Rule {
    name: "unused",
    why: "a permission that is left over permits code that nobody has considered",
    remedy: "remove the row from xtask/src/tidy/table.rs or below",
};

/// Calls of the system past `sys`.
pub static CALLS: Rule = Rule {
    name: "calls",
    why: "every call of the system goes through `sys`, so that a simulated machine can stand in, \
          and no symbol is called that a program has replaced",
    remedy: "call `crate::sys`, or add the call there under a name that says what it does; a name \
             that does nothing by itself is entered in FOREIGN in \
             xtask/src/tidy/table/foreign.rs",
};

/// Calls of the system from protocols.
pub static NO_IO: Rule = Rule {
    name: "no-io",
    why: "a protocol is given the bytes and the time, so that it can be tested and fuzzed alone, \
          and driven by anything",
    remedy: "do it in crates/serve and pass the result in; a name that does nothing by itself is \
             entered in FOREIGN_TO_WIRE in xtask/src/tidy/table/foreign.rs",
};

/// `unsafe` outside the library.
pub static UNSAFE: Rule = Rule {
    name: "unsafe",
    why: "the library, and the crates that define libc's functions, are the only ones with unsafe \
          code, so that no other has to be reviewed for it",
    remedy: "remove it, or move it into crates/overlapped behind a safe function; a crate root \
             begins with #![forbid(unsafe_code)]",
};

/// Names of corosensei.
pub static COROSENSEI: Rule = Rule {
    name: "corosensei",
    why: "a stack is unwound only at its own suspension point: if that were forced from outside, \
          it would be freed with operations in flight (terminal completion first)",
    remedy: "use crate::switch; to end a tasklet, kill it and continue to schedule",
};

/// Sizes of files, functions, folders and lines.
pub static SIZES: Rule = Rule {
    name: "sizes",
    why: "a text that does not fit on a few screens is not read",
    remedy: "split it along its nouns; a limit is a number in xtask/src/tidy/table/text.rs",
};

/// Paths and hosts of one machine.
pub static WORDS: Rule = Rule {
    name: "words",
    why: "readers of the text do not have the machine on which it was written",
    remedy: "describe it without the path, or take the path from the environment",
};

/// Files that are named and do not exist.
pub static PLACES: Rule = Rule {
    name: "places",
    why: "a reader follows a name to the file, and a name that leads nowhere shows that the rest \
          of the sentence is out of date, too",
    remedy: "name the file by its present path; a file of another project is entered in ELSEWHERE \
             in xtask/src/tidy/table/text.rs",
};

/// Doc comments that begin with a clause.
pub static FIRST_WORDS: Rule = Rule {
    name: "first-words",
    why: "a list of doc comments is read by the first words: a verb tells what a function does, a \
          noun what a type is, and a clause tells nothing before its end",
    remedy: "begin with a verb (a function) or a noun (all else); the words are in NOT_FIRST in \
             xtask/src/tidy/table/text.rs",
};

/// A file that is not Rust, or a row of the table that names a missing file.
pub static BROKEN: Rule = Rule {
    name: "broken",
    why: "a file that cannot be read cannot be checked",
    remedy: "repair the file, or the row in xtask/src/tidy/table.rs or below",
};
