//! The rules: what a finding of each says.

/// A rule, for the message of a finding.
#[derive(Debug)]
pub struct Rule {
    /// The word in brackets in the message.
    pub name: &'static str,
    /// The reason for it.
    pub why: &'static str,
    /// The cure of a finding.
    pub remedy: &'static str,
}

/// Imports between the rooms of a crate.
pub static IMPORTS: Rule = Rule {
    name: "imports",
    why: "imports point one way (io → net fs → pipe chan … → task → sched → op port …), so \
          that a room can be read, tested and replaced without those above it",
    remedy: "move the code to the room it belongs to, or pass the value in; a new room or a new \
             direction is entered in xtask/src/tidy/table.rs, with its reason",
};

/// Circles of imports between files.
pub static CIRCLES: Rule = Rule {
    name: "circles",
    why: "files that import each other in a circle are one file in several pieces: none of them \
          can be read, tested or moved without the others",
    remedy: "move what the lower file needs into a file of its own below both, or hand it in as a \
             value; IN_CIRCLES in xtask/src/tidy/table.rs only shrinks",
};

/// Arms that catch the rest of the operations.
pub static CATCH_ALL: Rule = Rule {
    name: "catch-all",
    why: "the compiler lists the matches that a new operation lacks an arm in; an arm that catches \
          the rest decides for it without a look",
    remedy: "name the operations that the arm is for; CATCH_ALLS in xtask/src/tidy/table.rs \
             only shrinks",
};

/// Rows of the table that nothing uses.
pub static UNUSED: Rule = Rule {
    name: "unused",
    why: "a permission that is left over lets in what nobody has thought about",
    remedy: "remove the row from xtask/src/tidy/table.rs or below",
};

/// Calls to the system past the port.
pub static CALLS: Rule = Rule {
    name: "calls",
    why: "whatever reaches the system goes through the port, so that a simulated port can stand in \
          for the whole machine",
    remedy: "call `crate::port` (control for calls that never wait, the clock for the time); a \
             name that does nothing by itself is entered in FOREIGN in \
             xtask/src/tidy/table/foreign.rs",
};

/// Calls to the system from protocols.
pub static NO_IO: Rule = Rule {
    name: "no-io",
    why: "a protocol is told the bytes and the time, so that it can be tested and fuzzed with \
          nothing around it, and driven by anything",
    remedy: "do it in crates/serve and pass the result in; a name that does nothing by itself is \
             entered in FOREIGN_TO_WIRE in xtask/src/tidy/table/foreign.rs",
};

/// `unsafe` outside the library.
pub static UNSAFE: Rule = Rule {
    name: "unsafe",
    why: "the library, and the crate that takes the place of libc's functions, are the only ones \
          with unsafe code, so that no other is to be reviewed for it",
    remedy: "remove it, or move it into crates/overlapped behind a safe function; a crate root \
             begins with #![forbid(unsafe_code)]",
};

/// Names of corosensei.
pub static COROSENSEI: Rule = Rule {
    name: "corosensei",
    why: "a stack is unwound only at its own suspension point: forced from outside it would be \
          freed with operations in flight (terminal completion first)",
    remedy: "use crate::switch; to end a tasklet, kill it and go on scheduling",
};

/// Sizes of files, functions, folders and lines.
pub static SIZES: Rule = Rule {
    name: "sizes",
    why: "what does not fit on a few screens is not read",
    remedy: "split it along its nouns; a limit is a number in xtask/src/tidy/table/text.rs",
};

/// Paths and hosts of one machine.
pub static WORDS: Rule = Rule {
    name: "words",
    why: "the text is for readers who do not have the machine that it was written on",
    remedy: "say what holds and why, or take the path from the environment",
};

/// Files that are named and are not there.
pub static PLACES: Rule = Rule {
    name: "places",
    why: "a reader follows a name to the file, and a name that leads nowhere says that the rest \
          of the sentence is old, too",
    remedy: "name the file where it lies now; a file of another project is entered in ELSEWHERE in \
             xtask/src/tidy/table/text.rs",
};

/// Doc comments that begin with a clause.
pub static FIRST_WORDS: Rule = Rule {
    name: "first-words",
    why: "a list of doc comments is read by its first words: a verb tells what a function does, a \
          noun what a type is, and a clause nothing before its end",
    remedy: "begin with a verb (a function) or a noun (all else); the words are in NOT_FIRST in \
             xtask/src/tidy/table/text.rs",
};

/// A file that is not Rust, or a row of this table that names a file that is gone.
pub static BROKEN: Rule = Rule {
    name: "broken",
    why: "what cannot be looked at is not held",
    remedy: "repair the file, or the row in xtask/src/tidy/table.rs or below that names it",
};
