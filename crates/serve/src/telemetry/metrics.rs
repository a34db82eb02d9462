//! The pages of a monitoring listener: `/metrics` for Prometheus, `/healthz` (the server runs),
//! `/readyz` (it accepts clients; `503` as soon as it stops).
//!
//! During a hot restart both processes are asked, through the same socket. Until the old process
//! has stopped accepting, it answers `/readyz` for the new one; otherwise a load balancer would see
//! a gap that does not exist.
//!
//! Sums are computed when they are asked for; nothing is counted for these pages alone.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use http::{HeaderValue, Method, Request, StatusCode, header};
use overlapped_wire::http::{Answer, Content, text};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::state::{Counters, ServerState};

/// The format that Prometheus asks for.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers a request to a monitoring listener.
pub(crate) fn answer(server: &Arc<ServerState>, request: &Request<()>, _: &mut dyn Read) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" if server.leaving.is_set() && !server.is_replaced() => {
            text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
        }
        "/readyz" => text(StatusCode::OK, "ready\n"),
        "/metrics" => {
            let mut page = String::new();
            if encode(&mut page, &registry(server)).is_err() {
                return text(StatusCode::INTERNAL_SERVER_ERROR, "cannot write the metrics\n");
            }
            let mut answer = Answer::new(Content::Bytes(page.into_bytes().into()));
            let kind = HeaderValue::from_static(OPEN_METRICS);
            answer.headers_mut().insert(header::CONTENT_TYPE, kind);
            answer
        }
        _ => text(StatusCode::NOT_FOUND, "not found: try /metrics, /healthz or /readyz\n"),
    }
}

fn registry(server: &Arc<ServerState>) -> Registry {
    let mut registry = Registry::with_prefix("overlapped");
    registry.register_collector(Box::new(ServerCollector { server: Arc::clone(server) }));
    registry
}

/// The collector of a server's metrics.
struct ServerCollector {
    server: Arc<ServerState>,
}

impl fmt::Debug for ServerCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCollector").finish_non_exhaustive()
    }
}

/// The label of a metric: its listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ListenerLabel(String);

impl EncodeLabelSet for ListenerLabel {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelSetEncoder<'_>,
    ) -> Result<(), fmt::Error> {
        [("listener", self.0.as_str())].encode(encoder)
    }
}

/// A metric that every listener has: name, description, value.
type Metric = (&'static str, &'static str, fn(&Counters) -> u64);

const METRICS: &[Metric] = &[
    ("connections_accepted", "Connections that were accepted", |counters| counters.accepted.get()),
    ("connections_refused", "Connections that were closed at once", |counters| {
        counters.refused.get()
    }),
    ("connections_idle", "Connections that were closed because no request came", |counters| {
        counters.idle.get()
    }),
    (
        "connections_slow",
        "Connections that were closed because a client was too slow",
        |counters| counters.timed_out.get(),
    ),
    ("connections_malformed", "Connections whose client broke the protocol", |counters| {
        counters.malformed.get()
    }),
    ("connections_failed", "Connections that failed", |counters| counters.errors.get()),
    ("handshakes_failed", "Handshakes and PROXY headers that failed", |counters| {
        counters.handshakes_failed.get()
    }),
    ("sessions_panicked", "Sessions that panicked", |counters| counters.panicked.get()),
    ("accept_pauses", "Pauses in accepting, for lack of descriptors or memory", |counters| {
        counters.accept_pauses.get()
    }),
    ("requests", "Requests that were answered", |counters| counters.requests.get()),
    ("received_bytes", "Bytes received", |counters| counters.bytes_in.get()),
    ("sent_bytes", "Bytes sent", |counters| counters.bytes_out.get()),
];

impl Collector for ServerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, help, value) in METRICS {
            let mut sums: Vec<(ListenerLabel, u64)> = Vec::new();
            self.server.each_counters(|listener, counters| {
                let label = ListenerLabel(listener.address.to_string());
                match sums.iter_mut().find(|(known, _)| *known == label) {
                    Some((_, sum)) => *sum += value(counters),
                    None => sums.push((label, value(counters))),
                }
            });
            let kind = ConstCounter::new(0_u64).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (label, sum) in &sums {
                ConstCounter::new(*sum).encode(family.encode_family(label)?)?;
            }
        }
        let open =
            ConstGauge::new(i64::try_from(self.server.connections.get()).unwrap_or(i64::MAX));
        let help = "Connections that are open";
        open.encode(encoder.encode_descriptor("connections", help, None, open.metric_type())?)?;
        let up = ConstGauge::new(self.server.begin.elapsed().as_secs_f64());
        let help = "Seconds since the server started";
        up.encode(encoder.encode_descriptor("uptime_seconds", help, None, up.metric_type())?)
    }
}
