#!/usr/bin/env python3
"""Restarts three instances of `overlapped serve http` behind HAProxy, one after another and under
load, and counts the requests that fail: none may.

An instance is stopped with SIGTERM. During its lame-duck time it reports that it is not ready, and
still serves; HAProxy notices and sends clients elsewhere. When it has ended, it is started again,
and the next one follows as soon as HAProxy uses this one again.

  cargo build --release
  python3 examples/scale-out/rolling_restart.py --program target/release/overlapped --rounds 3

It chooses free ports. Ctrl-C ends everything that was started. Exit code: 0 if no request has
failed, 1 if some have or something is missing, 130 after Ctrl-C.
"""

import argparse
import csv
import hashlib
import http.client
import os
import random
import shutil
import signal
import socket
from statistics import median
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CONFIG = Path(__file__).resolve().parent / "haproxy.cfg"
NAMES = ["one", "two", "three"]  # as in haproxy.cfg
WAIT_MAX = 60  # s, the limit of every wait
DRAIN = 30  # s: more than any request of the load takes

SIZES = [0, 1, 1_000, 64 << 10, 1 << 20]
SLOW = 4 << 20
UPLOAD = 200 << 10

SUM = """#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
sha256sum
"""


class Failure(Exception):
    """A message to the user, which names the remedy."""


def content(size):
    """Makes `size` bytes, in which no two blocks are alike."""
    blocks = (hashlib.sha256(f"{size} {at}".encode()).digest() for at in range(size // 32 + 1))
    return b"".join(blocks)[:size]


class Load:
    """The load: each thread runs one client after another, until the load is stopped."""

    def __init__(self, port):
        self.port = port
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.made = {"keep-alive": 0, "new connection": 0, "upload": 0, "slow download": 0}
        self.failures = []
        self.files = {f"/{size}": content(size) for size in SIZES}
        self.slow = content(SLOW)
        kinds = [
            ("keep-alive", self.download, True),
            ("keep-alive", self.download, True),
            ("new connection", self.download, False),
            ("new connection", self.download, False),
            ("upload", self.upload, True),
            ("upload", self.upload, False),
            ("slow download", self.download_slowly, False),
        ]
        self.threads = [threading.Thread(target=self.run, args=kind, daemon=True) for kind in kinds]

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(WAIT_MAX)
            if thread.is_alive():
                self.failures.append("a request has not ended within a minute")

    def run(self, kind, request, keep):
        turn, client = 0, self.connection()
        while not self.over.is_set():
            try:
                request(client, turn)
            except Exception as error:  # any error means that the client did not get its answer
                with self.lock:
                    self.failures.append(f"{kind}, request {turn}: {error!r}")
                client.close()
                time.sleep(0.1)
            if not keep:
                client.close()
                client = self.connection()
            with self.lock:
                self.made[kind] += 1
            turn += 1
            time.sleep(0.005)
        client.close()

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_MAX)

    def download(self, client, turn):
        path = list(self.files)[turn % len(self.files)]
        client.request("GET", path)
        check(client.getresponse(), self.files[path])

    def download_slowly(self, client, _):
        client.request("GET", f"/{SLOW}")
        answer, body = client.getresponse(), b""
        while piece := answer.read(SLOW // 8):
            body += piece
            time.sleep(0.1)
        check(answer, self.slow, body)

    def upload(self, client, turn):
        body = content(UPLOAD + turn % 1000)
        pieces = (body[at : at + UPLOAD // 4] for at in range(0, len(body), UPLOAD // 4))

        def slowly():
            for piece in pieces:
                yield piece
                time.sleep(0.02)

        client.request("POST", "/cgi-bin/sum", slowly(), {"Content-Length": str(len(body))})
        check(client.getresponse(), f"{hashlib.sha256(body).hexdigest()}  -\n".encode())


def check(answer, want, body=None):
    body = answer.read() if body is None else body
    if answer.status != 200 or body != want:
        head = body[:200] if answer.status != 200 else f"{len(body)} bytes instead of {len(want)}"
        raise ValueError(f"{answer.status}, {head}")


class Instance:
    """One `overlapped serve http`."""

    def __init__(self, run, name):
        self.run, self.name = run, name
        self.port, self.metrics = free_port(), free_port()
        self.process = None

    def start(self):
        run = self.run
        command = [run.program, "serve", "http", run.folder / "site", "--cgi", run.folder / "cgi"]
        command += ["--listen", f"127.0.0.1:{self.port}", "--proxy-protocol"]
        command += ["--metrics", f"127.0.0.1:{self.metrics}"]
        command += ["--lame-duck", f"{run.lame_duck * 1000:.0f}ms", "--drain", f"{DRAIN}s"]
        self.process = run.start(self.name, command)
        wait(f"instance {self.name} is ready", self.is_ready, self.check)

    def is_ready(self):
        client = http.client.HTTPConnection("127.0.0.1", self.metrics, timeout=5)
        try:
            client.request("GET", "/readyz")
            return client.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            client.close()

    def check(self):
        if self.process.poll() is not None:
            raise Failure(f"instance {self.name} has ended: {self.run.output(self.name)}")

    def stop(self):
        """Stops it with SIGTERM. It must end by itself, and must not have cut a request short."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(self.run.lame_duck + DRAIN + WAIT_MAX)
        except subprocess.TimeoutExpired:
            output = self.run.output(self.name)
            raise Failure(f"instance {self.name} does not end: {output}") from None
        output = self.run.output(self.name)
        if code != 0 or "cut 0" not in output:
            raise Failure(f"instance {self.name} has ended with {code}: {output}")


class Run:
    """The processes of one run, in a folder of its own."""

    def __init__(self, options, folder):
        self.program = find(
            options.program, "build it with `cargo build --release` and name it with --program"
        )
        self.haproxy = find(
            "haproxy", "install it: `sudo apt-get install haproxy` (the service is not needed)"
        )
        self.lame_duck = options.lame_duck
        self.folder = Path(folder)
        self.processes = []
        self.stats = self.folder / "haproxy.socket"

    def start(self, name, command, environment=None):
        with open(self.folder / f"{name}.log", "wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
        self.processes.append(process)
        return process

    def output(self, name):
        text = (self.folder / f"{name}.log").read_text(errors="replace").strip()
        return text or "it has printed nothing"

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
        for process in self.processes:
            process.wait()

    def write_site(self):
        site, scripts = self.folder / "site", self.folder / "cgi"
        site.mkdir()
        scripts.mkdir()
        for size in [*SIZES, SLOW]:
            (site / str(size)).write_bytes(content(size))
        (scripts / "sum").write_text(SUM)
        (scripts / "sum").chmod(0o755)

    def balance(self, instances):
        """Starts HAProxy in front of the instances, and returns its port."""
        port = free_port()
        environment = {
            **os.environ,
            "OVERLAPPED_STATS": str(self.stats),
            "OVERLAPPED_FRONT": f"127.0.0.1:{port}",
            # HAProxy must notice well before the lame-duck time is over.
            "OVERLAPPED_CHECK": f"{max(20, self.lame_duck * 1000 / 10):.0f}ms",
        }
        for instance in instances:
            key = f"OVERLAPPED_{instance.name.upper()}"
            environment[key] = f"127.0.0.1:{instance.port}"
            environment[key + "_METRICS"] = str(instance.metrics)
        process = self.start("haproxy", [self.haproxy, "-db", "-f", CONFIG], environment)

        def is_running():
            if process.poll() is not None:
                raise Failure(f"HAProxy has ended: {self.output('haproxy')}")

        for instance in instances:
            wait(f"HAProxy has {instance.name}", lambda: self.is_up(instance.name), is_running)
        return port

    def statistics(self):
        """Reads HAProxy's figures, by server."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(WAIT_MAX)
            client.connect(str(self.stats))
            client.sendall(b"show stat\n")
            text = b""
            while piece := client.recv(1 << 16):
                text += piece
        rows = csv.DictReader(text.decode().lstrip("# ").splitlines())
        return {row["svname"]: row for row in rows if row["pxname"] == "instances"}

    def is_up(self, name):
        try:
            # HAProxy assumes UP before the first check: that must have passed, too (L7OK).
            row = self.statistics()[name]
        except (OSError, KeyError):
            return False
        return row["status"] == "UP" and row["check_status"] == "L7OK"


def find(program, remedy):
    found = shutil.which(program) or shutil.which(f"/usr/sbin/{program}")
    if found is None:
        raise Failure(f"the program {program} is missing: {remedy}")
    return found


taken = set()


def free_port():
    """Finds a free port below those that the system assigns by itself."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in taken:
            taken.add(port)
            return port


def wait(what, is_so, check=lambda: None):
    begin = time.monotonic()
    while not is_so():
        check()
        if time.monotonic() - begin > WAIT_MAX:
            raise Failure(f"not true after {WAIT_MAX} s: {what}")
        time.sleep(0.02)


def restart_all(options, run):
    run.write_site()
    instances = [Instance(run, name) for name in NAMES]
    for instance in instances:
        instance.start()
    port = run.balance(instances)
    print(f"balancer at http://127.0.0.1:{port}/, instances at", end=" ")
    print(", ".join(str(instance.port) for instance in instances), flush=True)
    load, times = Load(port), []
    load.start()
    try:
        for turn in range(options.rounds):
            for instance in instances:
                begin = time.monotonic()
                instance.stop()
                stopped = time.monotonic()
                instance.start()
                wait(f"HAProxy has {instance.name} back", lambda: run.is_up(instance.name))
                times.append(time.monotonic() - begin)
                name, stop = instance.name, stopped - begin
                print(f"round {turn + 1}: {name} has stopped in {stop:.1f} s", end=", ")
                print(f"is back after {times[-1]:.1f} s; {len(load.failures)} failed", flush=True)
    finally:
        load.stop()
    report(load, times, run.statistics())
    return 1 if load.failures else 0


def report(load, times, view):
    for failure in load.failures[:20]:
        print(f"FAILED: {failure}")
    idle = [kind for kind, made in load.made.items() if made == 0]
    if idle:
        raise Failure(f"not tested: no request was made of the kind {', '.join(idle)}")
    again = sum(int(view[name]["wretr"]) + int(view[name]["wredis"]) for name in NAMES)
    kinds = ", ".join(f"{kind} {made}" for kind, made in load.made.items())
    print(f"requests {sum(load.made.values())} ({kinds}), failed {len(load.failures)},", end=" ")
    print(f"sent again by the balancer {again}")
    middle, most = median(times), max(times)
    print(f"restarts {len(times)}: {middle:.1f} s each (median), {most:.1f} s at most")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--program", default="overlapped", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=1, help="default: %(default)s")
    parser.add_argument(
        "--lame-duck", type=float, default=2, metavar="SECONDS", help="default: %(default)s"
    )
    options = parser.parse_args()
    if options.rounds < 1 or options.lame_duck < 0:
        parser.error("--rounds must be at least 1, --lame-duck at least 0")
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with tempfile.TemporaryDirectory(prefix="overlapped-") as folder:
            run = Run(options, folder)
            try:
                return restart_all(options, run)
            finally:
                # A second Ctrl-C must not interrupt the clean-up.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                run.end()
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; everything that was started has ended", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
