//! Options of servers, each a flag and a key of the configuration file.
//!
//! | file | contents |
//! |---|---|
//! | `values` | the grammar of durations, sizes, rates, counts, variables |
//! | `access` | mode and owner of Unix sockets |
//! | `server` | addresses, limits, and options of the process |
//! | `http` | options of an HTTP server |

pub(super) mod access;
pub(super) mod http;
pub(super) mod server;
pub(super) mod values;
