"""Makes many requests on one connection with Python's own client: HOST PORT COUNT."""
import http.client
import sys

client = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=60)
client.connect()
first = client.sock
for _ in range(int(sys.argv[3])):
    client.request("GET", "/hello.txt")
    answer = client.getresponse()
    assert (answer.status, answer.read()) == (200, b"hello\n")
    client.request("HEAD", "/hello.txt")
    answer = client.getresponse()
    assert (answer.status, answer.headers["Content-Length"], answer.read()) == (200, "6", b"")
    client.request("POST", "/cgi-bin/sum", body=iter([b"a" * 1000] * 10), encode_chunked=True,
                   headers={"Transfer-Encoding": "chunked"})
    answer = client.getresponse()
    assert (answer.status, answer.read().split()[0]) == (200, b"10000")
assert client.sock is first, "the client has connected again"
print("answered", 3 * int(sys.argv[3]))
