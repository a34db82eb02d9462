//! Databases in files, and changes of files.

use std::fs;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::request::{Opener, Result, requests, same};
use crate::row::{Row, Setup};
use crate::servers::Server;

/// The time that a transaction takes.
const WORK: Duration = Duration::from_millis(5);

pub(super) fn rows() -> Vec<Row> {
    let row = |name, request, note, start| Row { name, server: Server::None, request, note, start };
    vec![
        row(
            "rusqlite",
            "`SELECT` of a function of Rust that sleeps for 100 ms, on a connection of its own",
            "",
            rusqlite,
        ),
        row(
            "rusqlite: one file",
            "a transaction that takes 5 ms, on the same file",
            "one writer at a time; the others wait in SQLite's busy handler",
            rusqlite_one_file,
        ),
        row(
            "redb",
            "a transaction that takes 5 ms, on the same file",
            "one writer at a time",
            redb,
        ),
        row("notify", "`recv` of an event, 100 ms later", "", notify),
    ]
}

fn rusqlite(setup: &Setup) -> Result<Opener> {
    use rusqlite::functions::FunctionFlags;
    let folder = setup.folder.clone();
    Ok(Box::new(move |number| {
        let connection = rusqlite::Connection::open(folder.join(number.to_string()))?;
        connection.create_scalar_function("slowly", 1, FunctionFlags::default(), |context| {
            thread::sleep(Duration::from_millis(100));
            context.get::<i64>(0)
        })?;
        Ok(Box::new(move || {
            let number = number as i64;
            let found = connection
                .query_row("SELECT slowly(?1) * 7", [number], |row| row.get::<_, i64>(0))?;
            same(found, number * 7)
        }))
    }))
}

fn rusqlite_one_file(setup: &Setup) -> Result<Opener> {
    use rusqlite::{Connection, TransactionBehavior};
    let path = setup.folder.join("one");
    Connection::open(&path)?.execute_batch("CREATE TABLE numbers (number INTEGER)")?;
    Ok(Box::new(move |number| {
        let mut connection = Connection::open(&path)?;
        connection.busy_timeout(Duration::from_secs(30))?;
        Ok(Box::new(move || {
            let number = number as i64;
            let writing = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let count = "SELECT count(*) FROM numbers";
            let before = writing.query_row(count, [], |row| row.get::<_, i64>(0))?;
            thread::sleep(WORK);
            writing.execute("INSERT INTO numbers VALUES (?1)", [number])?;
            let after = writing.query_row(count, [], |row| row.get::<_, i64>(0))?;
            writing.commit()?;
            same(after, before + 1)
        }))
    }))
}

fn redb(setup: &Setup) -> Result<Opener> {
    use redb::{Database, ReadableDatabase as _, TableDefinition};
    const TABLE: TableDefinition<'_, u64, u64> = TableDefinition::new("numbers");
    let database = Arc::new(Database::create(setup.folder.join("redb"))?);
    requests(move |number| {
        let number = number as u64;
        let writing = database.begin_write()?;
        {
            let mut table = writing.open_table(TABLE)?;
            thread::sleep(WORK);
            table.insert(number, number * 7)?;
        }
        writing.commit()?;
        let reading = database.begin_read()?;
        let found = reading.open_table(TABLE)?.get(number)?.map(|value| value.value());
        same(found, Some(number * 7))
    })
}

fn notify(setup: &Setup) -> Result<Opener> {
    use notify::{RecursiveMode, Watcher as _};
    let folder = setup.folder.clone();
    Ok(Box::new(move |number| {
        let folder = folder.join(number.to_string());
        fs::create_dir(&folder)?;
        let (sender, events) = mpsc::channel();
        let mut watcher = notify::recommended_watcher(sender)?;
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        Ok(Box::new(move || {
            let path = folder.join("file");
            let theirs = path.clone();
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(100));
                fs::write(theirs, "text")
            });
            let event = events.recv()??;
            drop(watcher);
            same(event.paths, vec![path])
        }))
    }))
}
