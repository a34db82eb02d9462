"""Sends MEGABYTES to an echo server while reading the echo, and prints both sha256 sums."""
import hashlib
import os
import socket
import sys
import threading

host, port, megabytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
connection = socket.create_connection((host, port))
block = os.urandom(1 << 20)
sent, received, count = hashlib.sha256(), hashlib.sha256(), 0


def send():
    for i in range(megabytes):
        # No two megabytes are alike, so that a swap or a loss is noticed.
        data = i.to_bytes(8, "little") + block[8:]
        sent.update(data)
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


sender = threading.Thread(target=send)
sender.start()
while data := connection.recv(1 << 18):
    received.update(data)
    count += len(data)
sender.join()
print(sent.hexdigest(), received.hexdigest(), count)
