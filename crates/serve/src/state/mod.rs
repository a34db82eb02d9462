//! State that connections, threads and listeners share. It does no I/O on connections.
//!
//! | shared by | type |
//! |---|---|
//! | the whole server | [`ServerState`]: the stages of its stop, counters of all listeners |
//! | the connections of a thread | [`ThreadState`]: the stages of the stop, copied for the thread |
//! | the threads of a listener | [`ListenerState`]: its limits, slots, addresses |
//! | a session, and code that ends it from outside | [`ConnectionState`] |

mod connection;
mod connection_limit;
mod counters;
mod limits;
mod listener;
mod rate;
mod server;
mod shortage;

pub(crate) use connection::{Activity, ConnectionState, Phase};
pub(crate) use connection_limit::{AddressPermit, client_network};
pub use counters::Totals;
pub(crate) use counters::{Counters, GaugeEntry};
pub use limits::Limits;
pub(crate) use limits::instant_in;
pub use listener::Address;
pub(crate) use listener::ListenerState;
pub(crate) use rate::{MinimumRate, is_deadline};
pub(crate) use server::{ServerState, ThreadState};
pub(crate) use shortage::{BackOff, Reserve, is_shortage, retry_at_shortage};
