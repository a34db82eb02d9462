"""Makes CLIENTS connections, prints so, and closes them when its standard input ends."""
import resource
import socket
import sys

host, port, clients = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held = [socket.create_connection((host, port)) for _ in range(clients)]
print("held", len(held), flush=True)
sys.stdin.read()
for connection in held:
    connection.close()
print("released", flush=True)
