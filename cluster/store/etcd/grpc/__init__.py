"""A gRPC client on one connection of HTTP/2, for as much of both as etcd's API needs.

Why not grpcio: on its asyncio interface each call, and each message of a stream, passes a thread of
its own, several system calls and a turn of the event loop: in an API server under load 600 us of
CPU a write, here 70. What is asked in one turn of the loop is sent at once, and what has come is
taken at once. Why not h2: it costs 250 us a call, `connection` 10.

Pure, without sockets and clocks: `frames`, `headers`, `connection` (streams and flow control),
`status`. `calls` are what is asked; `channel` puts it all on a socket.
"""
