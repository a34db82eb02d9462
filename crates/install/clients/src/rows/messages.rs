//! Clients with a runtime of their own inside: MQTT, tokio.

use std::net::SocketAddr;
use std::time::Duration;

use crate::request::{Opener, Result, same};
use crate::row::{Row, Setup};
use crate::servers::{Server, body};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "rumqttc",
            server: Server::Mqtt,
            request: "publish to oneself by MQTT; a proxy holds each answer back for 50 ms",
            note: "",
            start: rumqttc,
        },
        Row {
            name: "tokio",
            server: Server::SlowHttp,
            request: "`Runtime::block_on` of an HTTP request; the server takes 100 ms",
            note: "",
            start: tokio,
        },
    ]
}

fn rumqttc(setup: &Setup) -> Result<Opener> {
    use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
    let address = setup.address;
    Ok(Box::new(move |number| {
        let host = address.ip().to_string();
        let mut options = MqttOptions::new(format!("client-{number}"), host, address.port());
        options.set_keep_alive(Duration::from_secs(30));
        let (client, mut connection) = Client::new(options, 10);
        let topic = format!("topic/{number}");
        client.subscribe(&topic, QoS::AtMostOnce)?;
        for event in connection.iter() {
            if let Event::Incoming(Packet::SubAck(_)) = event? {
                break;
            }
        }
        Ok(Box::new(move || {
            for round in 0..2 {
                let text = format!("{number}, {round}").into_bytes();
                client.publish(&topic, QoS::AtMostOnce, false, text.clone())?;
                for event in connection.iter() {
                    if let Event::Incoming(Packet::Publish(message)) = event? {
                        same(message.payload.to_vec(), text)?;
                        break;
                    }
                }
            }
            Ok(())
        }))
    }))
}

fn tokio(setup: &Setup) -> Result<Opener> {
    let address = setup.address;
    Ok(Box::new(move |number| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Box::new(move || runtime.block_on(get(address, format!("/{number}")))))
    }))
}

async fn get(address: SocketAddr, path: String) -> Result {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, found) = answer.split_once("\r\n\r\n").ok_or("no head")?;
    same(found, &body(&path))
}
