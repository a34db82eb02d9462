//! TCP sockets, method by method as in `std::net`, and the connect to a name with several
//! addresses.

mod eyeballs;
mod listener;
mod stream;

pub use listener::{Incoming, TcpListener};
pub use stream::TcpStream;
