"""A local server of one file, which can fail in the ways in which servers fail."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Server(http.server.ThreadingHTTPServer):
    """Serves a file: whole, or as the test says.

    sent: how many of its bytes before the connection is closed or stalls; failing: at how many first requests (None:
    all), later ones get the whole file; status: the answer; requests: so far.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.sent, self.status, self.requests = content, len(content), 200, 0
        self.failing: int | None = None
        self.stalled = threading.Event()
        self.stalled.set()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.requests += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        fails = self.server.failing is None or self.server.requests <= self.server.failing
        with suppress(OSError):  # torchvision first asks where the file is, and hangs up
            self.wfile.write(self.server.content[: self.server.sent] if fails else self.server.content)
            self.wfile.flush()
        if fails:
            self.server.stalled.wait()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(content: bytes) -> Iterator[Server]:
    """A server of the content, for as long as the block lasts."""
    with Server(content) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield made
        finally:
            made.stalled.set()
            made.shutdown()
            thread.join()
