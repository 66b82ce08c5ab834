"""HTTP as clients speak it: the transport over real sockets, and requests without an event loop."""
