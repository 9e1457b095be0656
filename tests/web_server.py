"""A web server of a folder that gives ranges, and fails or stalls when it is told to."""

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Gives files of `server.folder`; what is next in `server.faults` goes wrong once."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        fault = self.server.faults.pop(0) if self.server.faults else ""
        if fault == "stall":
            self.server.goes_on.wait(20)
        if fault == "reset":
            self.close_connection = True
            self.connection.shutdown(2)
        elif fault.isdigit():
            self.send_error(int(fault))
        else:
            self.answer(with_body=True, is_short=fault == "short")

    def answer(self, *, with_body, is_short=False):
        path = self.server.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        whole = path.read_bytes()
        found = (
            re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")) if self.server.ranges else None
        )
        body = whole[int(found[1]) : int(found[2]) + 1] if found else whole
        if with_body:
            self.server.asked.append(len(body))
        body = body[: len(body) // 2] if is_short else body
        self.send_response(206 if found else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hash(whole)}"')
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def serving(folder):
    """Serve a folder; gives the server, with its `address`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.folder, server.faults, server.asked, server.ranges = folder, [], [], True
    server.goes_on = threading.Event()
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.goes_on.set()
        server.shutdown()
        server.server_close()
