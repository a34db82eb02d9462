//! Rows of the table that nothing uses: a permission that is left over permits code that nobody has
//! considered.
//!
//! Checked only if the table itself is among the files, so for the repository as a whole.

use super::report::{File, Report};
use super::table::{
    BOTH_WAYS, CONVERSIONS, COROSENSEI_ROOMS, CRATES, CRATES_WITH_UNSAFE, ELSEWHERE,
    FOLDERS_OF_ANY_SIZE, FOREIGN, FOREIGN_TO_WIRE, Foreign, ROOMS_THAT_CALL, TABLE, UNUSED,
};

pub(crate) fn check(files: &[File], report: &mut Report) {
    let Some(table) = files.iter().find(|file| file.path.starts_with(TABLE)) else { return };
    let path = table.path.clone();
    for (list, row) in rows() {
        let is_used = report.is_used(list, &row);
        let what = format!("nothing uses `{row}` of {list}");
        let line = line_of(files, &row);
        let place = line.as_ref().map_or((path.as_str(), 1), |(path, line)| (path, *line));
        report.check(is_used, place, &UNUSED, what);
    }
}

/// Lists every row that permits something: the name of its list, and that of the row.
fn rows() -> Vec<(&'static str, String)> {
    let named = |list, rows: &[&str]| -> Vec<(&'static str, String)> {
        rows.iter().map(|row| (list, (*row).to_owned())).collect()
    };
    let foreign = |list, all: &'static [Foreign]| {
        let rows = all.iter().flat_map(|one| one.allowed.iter().map(|name| one.row(name)));
        rows.map(|row| (list, row)).collect::<Vec<_>>()
    };
    let rooms = CRATES.iter().flat_map(|one| {
        one.rooms.iter().flat_map(|(room, others)| {
            let directions = others.iter().map(|other| one.direction(room, other));
            std::iter::once(one.row(room)).chain(directions)
        })
    });
    let elsewhere: Vec<&str> = ELSEWHERE.iter().map(|(name, _)| *name).collect();
    [
        rooms.map(|row| ("ROOMS", row)).collect(),
        foreign("FOREIGN", FOREIGN),
        foreign("FOREIGN_TO_WIRE", FOREIGN_TO_WIRE),
        named("ROOMS_THAT_CALL", ROOMS_THAT_CALL),
        named("CONVERSIONS", CONVERSIONS),
        named("BOTH_WAYS", BOTH_WAYS),
        named("CRATES_WITH_UNSAFE", CRATES_WITH_UNSAFE),
        named("COROSENSEI_ROOMS", COROSENSEI_ROOMS),
        named("FOLDERS_OF_ANY_SIZE", FOLDERS_OF_ANY_SIZE),
        named("ELSEWHERE", &elsewhere),
    ]
    .concat()
}

/// Finds the row in the text of the tables by its name, and the row of a direction by the room.
fn line_of(files: &[File], row: &str) -> Option<(String, usize)> {
    let name = row.split(" → ").next().unwrap_or(row);
    let last = name.rsplit(['/', ':']).next().unwrap_or(name);
    let find = |quoted: String| {
        files.iter().filter(|file| file.path.starts_with(TABLE)).find_map(|file| {
            let line = file.text.lines().position(|line| line.contains(&quoted))?;
            Some((file.path.clone(), line + 1))
        })
    };
    let is_room = row.contains(" → ");
    let room = is_room.then(|| find(format!("(\"{last}\", "))).flatten();
    room.or_else(|| find(format!("\"{name}\""))).or_else(|| find(format!("\"{last}\"")))
}
