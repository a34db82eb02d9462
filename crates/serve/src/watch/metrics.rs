//! A page of figures for Prometheus, and two that say how the server is: `/metrics`, `/healthz`
//! (it runs), `/readyz` (it takes clients; `503` from the moment it is asked to stop).
//!
//! After a hot restart both processes are asked, through the same socket: until the old one accepts
//! nobody, it answers for its successor, or a load balancer would see a gap where there is none.
//!
//! Figures are gathered when they are asked for; nothing is counted for their sake.

use std::fmt;
use std::io::Read;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderValue, Method, Request, StatusCode, header};
use overlapped_wire::http::{Answer, Content, text};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::Counts;
use crate::server::{Front, Site};

/// The form that Prometheus asks for.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every listener's counters.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    rows: Mutex<Vec<(Arc<Front>, Arc<Counts>)>>,
}

impl Ledger {
    /// A page for one listener on one thread.
    pub(crate) fn open(&self, front: &Arc<Front>) -> Arc<Counts> {
        let counts = Arc::new(Counts::default());
        self.lock().push((Arc::clone(front), Arc::clone(&counts)));
        counts
    }

    /// Shows `each` all of it.
    pub(crate) fn each(&self, mut each: impl FnMut(&Front, &Counts)) {
        self.lock().iter().for_each(|(front, counts)| each(front, counts));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Arc<Front>, Arc<Counts>)>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers who watches the server.
pub(crate) fn answer(site: &Arc<Site>, request: &Request<()>, _: &mut dyn Read) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" if site.leaving.is_set() && !site.succeeded.load(Relaxed) => {
            text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
        }
        "/readyz" => text(StatusCode::OK, "ready\n"),
        "/metrics" => {
            let mut page = String::new();
            if encode(&mut page, &registry(site)).is_err() {
                return text(StatusCode::INTERNAL_SERVER_ERROR, "the figures cannot be written\n");
            }
            let mut answer = Answer::new(Content::Bytes(page.into_bytes().into()));
            let kind = HeaderValue::from_static(OPEN_METRICS);
            answer.headers_mut().insert(header::CONTENT_TYPE, kind);
            answer
        }
        _ => text(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n"),
    }
}

fn registry(site: &Arc<Site>) -> Registry {
    let mut registry = Registry::with_prefix("overlapped");
    registry.register_collector(Box::new(Page { site: Arc::clone(site) }));
    registry
}

struct Page {
    site: Arc<Site>,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").finish_non_exhaustive()
    }
}

/// Which listener a figure is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Listener(String);

impl EncodeLabelSet for Listener {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelSetEncoder<'_>,
    ) -> Result<(), fmt::Error> {
        [("listener", self.0.as_str())].encode(encoder)
    }
}

/// A figure that every listener has.
type Figure = (&'static str, &'static str, fn(&Counts) -> u64);

const FIGURES: &[Figure] = &[
    ("connections_accepted", "Connections that were accepted", |counts| counts.accepted.get()),
    ("connections_refused", "Connections that were closed at once", |counts| counts.refused.get()),
    ("connections_idle", "Connections that were closed because no request came", |counts| {
        counts.idle.get()
    }),
    ("connections_slow", "Connections that were closed because a client was too slow", |counts| {
        counts.late.get()
    }),
    ("connections_malformed", "Connections whose client broke the protocol", |counts| {
        counts.malformed.get()
    }),
    ("connections_failed", "Connections that failed", |counts| counts.errors.get()),
    ("handshakes_failed", "Handshakes and PROXY headers that failed", |counts| {
        counts.handshakes_failed.get()
    }),
    ("sessions_panicked", "Sessions that panicked", |counts| counts.panicked.get()),
    ("accept_pauses", "Pauses in accepting, for want of descriptors or memory", |counts| {
        counts.shortages.get()
    }),
    ("requests", "Requests that were answered", |counts| counts.requests.get()),
    ("received_bytes", "Bytes that came", |counts| counts.bytes_in.get()),
    ("sent_bytes", "Bytes that were sent", |counts| counts.bytes_out.get()),
];

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, help, figure) in FIGURES {
            let mut sums: Vec<(Listener, u64)> = Vec::new();
            self.site.ledger.each(|front, counts| {
                let listener = Listener(front.address.to_string());
                match sums.iter_mut().find(|(known, _)| *known == listener) {
                    Some((_, sum)) => *sum += figure(counts),
                    None => sums.push((listener, figure(counts))),
                }
            });
            let kind = ConstCounter::new(0_u64).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (listener, sum) in &sums {
                ConstCounter::new(*sum).encode(family.encode_family(listener)?)?;
            }
        }
        let open = ConstGauge::new(i64::try_from(self.site.connections.get()).unwrap_or(i64::MAX));
        let help = "Connections at present";
        open.encode(encoder.encode_descriptor("connections", help, None, open.metric_type())?)?;
        let up = ConstGauge::new(self.site.begin.elapsed().as_secs_f64());
        let help = "Seconds since the server began";
        up.encode(encoder.encode_descriptor("uptime_seconds", help, None, up.metric_type())?)
    }
}
