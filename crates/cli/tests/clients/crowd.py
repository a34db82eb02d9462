"""Makes CLIENTS connections at once, and resets every second one in the middle of its transfer.

Each waits for the echo of its first byte before any continues: until then it may be in the kernel's
queue, and the server does not know it. Prints the number that were reset, and the number that got
back every byte.
"""
import resource
import selectors
import socket
import struct
import sys

host, port, clients = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
SIZE, STEP = 96 << 10, 16 << 10
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
RESET = struct.pack("ii", 1, 0)


class Client:
    def __init__(self, number):
        self.doomed = number % 2 == 1
        self.data = number.to_bytes(4, "little") * (SIZE // 4)
        self.sent = 0
        self.answer = bytearray()
        self.socket = socket.create_connection((host, port))
        self.socket.setblocking(False)


everyone = [Client(number) for number in range(clients)]
for client in everyone:
    client.sent += client.socket.send(client.data[:1])
for client in everyone:
    client.socket.settimeout(60)
    client.answer += client.socket.recv(1)
    client.socket.setblocking(False)
print("answered", sum(len(client.answer) for client in everyone), flush=True)
selector = selectors.DefaultSelector()
for client in everyone:
    selector.register(client.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, client)
reset = whole = 0
while selector.get_map():
    for key, ready in selector.select(60):
        client = key.data
        if ready & selectors.EVENT_READ:
            data = client.socket.recv(STEP)
            assert data, "the server closed a connection that was in use"
            client.answer += data
        if ready & selectors.EVENT_WRITE and client.sent < SIZE:
            client.sent += client.socket.send(client.data[client.sent : client.sent + STEP])
            if client.sent == SIZE:
                selector.modify(client.socket, selectors.EVENT_READ, client)
        if client.doomed and client.sent >= SIZE // 2:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            reset += 1
        elif len(client.answer) == SIZE:
            assert bytes(client.answer) == client.data, "the answer differs"
            whole += 1
        else:
            continue
        selector.unregister(client.socket)
        client.socket.close()
print(reset, whole)
