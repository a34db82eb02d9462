"""Speaks to `serve length`, `bracket` or `line` over raw sockets: HOST PORT PROTOCOL COUNT."""
import random
import socket
import sys

host, port, protocol, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
messages = [random.randbytes(random.choice([0, 1, 10, 1000, 60000])) for _ in range(count)]
if protocol == "line":
    messages = [message.replace(b"\n", b"?") + b"\n" for message in messages]
with socket.create_connection((host, port), timeout=60) as stream:
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    file = stream.makefile("rb")
    for message in messages:
        framed = message
        if protocol == "length":
            framed = b"%d\n" % len(message) + message
        # In two pieces, which end anywhere.
        cut = random.randrange(len(framed) + 1)
        stream.sendall(framed[:cut])
        stream.sendall(framed[cut:])
        if protocol == "bracket":
            # The positions of the brackets depend on how the bytes arrived; the bytes between them
            # do not.
            got = b""
            wanted = message.translate(None, b"[]")
            while len(got.translate(None, b"[]")) < len(wanted):
                got += file.read1(65536)
            while message and not got.endswith(b"]"):
                got += file.read1(65536)
            assert got.translate(None, b"[]") == wanted
        else:
            assert file.read(len(message)) == message
    stream.shutdown(socket.SHUT_WR)
    assert file.read() == b""
print("answered", count)
