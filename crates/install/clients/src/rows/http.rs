//! Clients of HTTP.

use crate::request::{requests, same};
use crate::row::Row;
use crate::servers::{Server, body};

pub(super) fn rows() -> Vec<Row> {
    let row = |name, start| Row {
        name,
        server: Server::SlowHttp,
        request: "`GET`; the server takes 100 ms",
        note: "",
        start,
    };
    vec![
        row("ureq", |setup| {
            let address = setup.address;
            requests(move |number| {
                let path = format!("/{number}");
                let mut answer = ureq::get(format!("http://{address}{path}")).call()?;
                same(answer.body_mut().read_to_string()?, body(&path))
            })
        }),
        row("minreq", |setup| {
            let address = setup.address;
            requests(move |number| {
                let path = format!("/{number}");
                let answer = minreq::get(format!("http://{address}{path}")).send()?;
                same(answer.as_str()?, &body(&path))
            })
        }),
        row("attohttpc", |setup| {
            let address = setup.address;
            requests(move |number| {
                let path = format!("/{number}");
                let answer = attohttpc::get(format!("http://{address}{path}")).send()?;
                same(answer.text()?, body(&path))
            })
        }),
    ]
}
