//! Connection handlers: what a listener runs for each of its connections.

use overlapped_wire::Protocol;

use super::{Connection, End, converse};
use crate::peer::Peer;
use crate::state::Activity;

/// A handler of a listener's connections. Each thread has a copy of its own.
pub(crate) trait ConnectionHandler: Send {
    /// Returns a copy for another thread.
    fn copy(&self) -> Box<dyn ConnectionHandler>;

    /// Serves one connection until its session ends.
    fn serve(&self, connection: Connection) -> End;
}

/// The handler that speaks a protocol; the function makes one for each connection.
pub(crate) struct ProtocolHandler<F>(pub(crate) F);

impl<P, F> ConnectionHandler for ProtocolHandler<F>
where
    P: Protocol + 'static,
    F: Fn(&Peer) -> P + Clone + Send + 'static,
{
    fn copy(&self) -> Box<dyn ConnectionHandler> {
        Box::new(ProtocolHandler(self.0.clone()))
    }

    fn serve(&self, connection: Connection) -> End {
        let mut protocol = (self.0)(connection.peer());
        converse(&connection, &mut protocol)
    }
}

/// The handler that calls a plain function.
pub(crate) struct FunctionHandler<F>(pub(crate) F);

impl<F: Fn(Connection) + Clone + Send + 'static> ConnectionHandler for FunctionHandler<F> {
    fn copy(&self) -> Box<dyn ConnectionHandler> {
        Box::new(FunctionHandler(self.0.clone()))
    }

    fn serve(&self, connection: Connection) -> End {
        connection.socket().state.activity.set(Activity::Function);
        (self.0)(connection);
        End::Closed
    }
}
