//! Clients of databases and caches.

use crate::request::{Opener, Request, Result, same};
use crate::row::{Row, Setup};
use crate::servers::Server;

pub(super) fn rows() -> Vec<Row> {
    let row = |name, server, request, start| Row { name, server, request, note: "", start };
    vec![
        row("postgres", Server::Postgres, "`SELECT pg_sleep(0.1)`", postgres),
        row("mysql", Server::MariaDb, "`SELECT SLEEP(0.1)`", mysql),
        row("redis", Server::Redis, "`BLPOP` of 0.1 s, `ECHO`", redis),
        row(
            "memcache",
            Server::Memcached,
            "`set`, `get`, and `version` before each; a proxy holds each answer back for 25 ms",
            memcache,
        ),
    ]
}

fn postgres(setup: &Setup) -> Result<Opener> {
    let port = setup.address.port();
    Ok(Box::new(move |number| {
        let address = format!("host=127.0.0.1 port={port} user=postgres");
        let mut client = postgres::Client::connect(&address, postgres::NoTls)?;
        Ok(Box::new(move || {
            let number = number as i32;
            let row = client.query_one("SELECT $1 * 7, pg_sleep(0.1)::text", &[&number])?;
            same(row.try_get::<_, i32>(0)?, number * 7)
        }))
    }))
}

fn mysql(setup: &Setup) -> Result<Opener> {
    use mysql::prelude::Queryable as _;
    let port = setup.address.port();
    Ok(Box::new(move |number| {
        let options = mysql::OptsBuilder::new()
            .ip_or_hostname(Some("127.0.0.1"))
            .tcp_port(port)
            .user(Some("root"))
            .prefer_socket(false);
        let mut client = mysql::Conn::new(options)?;
        Ok(Box::new(move || {
            let row = client.exec_first("SELECT ? * 7, SLEEP(0.1)", (number,))?;
            same(row, Some((number as i64 * 7, 0)))
        }))
    }))
}

fn redis(setup: &Setup) -> Result<Opener> {
    let address = setup.address;
    Ok(Box::new(move |number| {
        let mut client = redis::Client::open(format!("redis://{address}"))?.get_connection()?;
        Ok(Box::new(move || {
            let mut pop = redis::cmd("BLPOP");
            pop.arg(format!("nothing-{number}")).arg(0.1);
            same(pop.query::<Option<(String, String)>>(&mut client)?, None)?;
            let text = format!("text {number}");
            same(redis::cmd("ECHO").arg(&text).query::<String>(&mut client)?, text)
        }))
    }))
}

fn memcache(setup: &Setup) -> Result<Opener> {
    let address = setup.address;
    Ok(Box::new(move |number| {
        let client = memcache::connect(format!("memcache://{address}?tcp_nodelay=true"))?;
        let request: Request = Box::new(move || {
            let (key, value) = (format!("key-{number}"), format!("value {number}").repeat(1000));
            client.set(&key, &value, 0)?;
            same(client.get::<String>(&key)?, Some(value))
        });
        Ok(request)
    }))
}
