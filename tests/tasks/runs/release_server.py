"""A web server on the loopback that serves one file well or badly, as a test tells it to."""

import random
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = random.Random(0).randbytes(200_000)
HALF = len(CONTENT) // 2


class Handler(BaseHTTPRequestHandler):
    """Answers each request by the next function in `server.answers`; the last one stays."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers["Range"]))
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        answer(self)

    def start(self, status, length=None, **headers):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    """A server on the loopback that does as it is told."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked, self.over = [], [], threading.Event()
        self.sent = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/weights/"

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # The client may hang up.
            super().handle_error(request, client_address)


def honest(handler):
    begin = int(re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"] or "bytes=0-")[1])
    if begin == 0:
        handler.start(200, len(CONTENT))
    elif begin < len(CONTENT):
        span = f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}"
        handler.start(206, len(CONTENT) - begin, Content_Range=span)
    else:
        handler.start(416, 0)
    handler.wfile.write(CONTENT[begin:])


def without_ranges(handler):
    handler.start(200, len(CONTENT))
    handler.wfile.write(CONTENT)


def wrong_range(handler):
    handler.start(206, 10, Content_Range=f"bytes 0-9/{len(CONTENT)}")
    handler.wfile.write(CONTENT[:10])


def wrong_bytes(handler):
    handler.start(200, len(CONTENT))
    handler.wfile.write(CONTENT[::-1])


def wrong_half(handler):
    handler.start(200, len(CONTENT))
    handler.wfile.write(CONTENT[::-1][:HALF])


def half(handler):
    handler.start(200, len(CONTENT))
    handler.wfile.write(CONTENT[:HALF])


def quarter(handler):
    handler.start(200, len(CONTENT))
    handler.wfile.write(CONTENT[: HALF // 2])


def nothing(handler):
    """Hang up without a word."""


def length_too_long(handler):
    handler.start(200, len(CONTENT) + 1)
    handler.wfile.write(CONTENT)


def length_too_short(handler):
    handler.start(200, len(CONTENT) - 1)
    handler.wfile.write(CONTENT)


def endless(handler):
    handler.start(200)
    while not handler.server.over.is_set():
        handler.wfile.write(CONTENT)


def stall(handler):
    handler.server.over.wait(60)


def trickle(handler):
    handler.start(200, len(CONTENT))
    for byte in CONTENT:
        if handler.server.over.wait(0.02):
            return
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()


def half_then_stall(handler):
    half(handler)
    handler.server.sent.set()
    stall(handler)


def status(code):
    return lambda handler: handler.start(code, 0)


def redirect(handler):
    handler.start(302, 0, Location="/elsewhere")
