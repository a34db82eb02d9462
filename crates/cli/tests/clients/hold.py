"""Connects CLIENTS times, says so, holds them until its standard input ends, and closes them."""
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
