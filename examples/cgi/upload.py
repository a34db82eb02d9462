#!/usr/bin/env python3
"""A form for uploads, and a list of the uploaded files."""

import email.parser
import email.policy
import hashlib
import html
import os
import sys

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Upload</title>
<body style="font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem">
<h1>Upload</h1>
{result}
<form method="post" enctype="multipart/form-data">
<input type="file" name="file" multiple required> <button>Send</button>
</form></body></html>
"""


def parts():
    """Reads the form's parts. A form is a MIME message without the header that names its type."""
    kind = os.environ.get("CONTENT_TYPE", "")
    # The whole body at once: the server has stored it in a file before it starts the script.
    body = sys.stdin.buffer.read(int(os.environ.get("CONTENT_LENGTH") or 0))
    head = b"Content-Type: " + kind.encode("latin-1") + b"\r\n\r\n"
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    return message.iter_parts() if message.is_multipart() else []


def row(part):
    content = part.get_payload(decode=True) or b""
    name = html.escape(part.get_filename() or "without a name")
    digest = hashlib.sha256(content).hexdigest()[:16]
    return f"<li><b>{name}</b>, {len(content)} bytes, sha256 {digest}…</li>"


def main():
    result = ""
    if os.environ["REQUEST_METHOD"] == "POST":
        result = "<ul>" + "".join(row(part) for part in parts()) + "</ul>"
    sys.stdout.buffer.write(b"Content-Type: text/html; charset=utf-8\r\n\r\n")
    sys.stdout.buffer.write(PAGE.format(result=result).encode())


main()
