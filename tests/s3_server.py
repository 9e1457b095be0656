"""A server of S3 in this process, which fails, stalls and breaks off when it is told to."""

import threading
from contextlib import contextmanager
from urllib.request import Request, urlopen

import pytest


class Faulty:
    """The server of moto, in which what is next in `faults` goes wrong once, at a range that is read."""

    def __init__(self, app):
        self.app, self.faults, self.n_ranges = app, [], 0
        self.goes_on = threading.Event()

    def __call__(self, environ, start_response):
        if environ["REQUEST_METHOD"] != "GET" or "HTTP_RANGE" not in environ:
            return self.app(environ, start_response)
        self.n_ranges += 1
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "stall":
            self.goes_on.wait(20)
        elif fault.isdigit():
            start_response(f"{fault} As Told", [("Content-Length", "0")])
            return []
        body = b"".join(self.app(environ, start_response))
        return [body[: len(body) // 2] if fault == "short" else body]


@contextmanager
def serving(monkeypatch):
    """Serve an empty bucket, also to processes that are started; gives the server and a file system."""
    moto = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    from werkzeug.serving import make_server

    app = Faulty(moto.DomainDispatcherApplication(moto.create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    app.address = f"http://127.0.0.1:{server.server_port}"
    urlopen(Request(f"{app.address}/moto-api/reset", method="POST"))  # one process has one store
    told = {"ACCESS_KEY_ID": "testing", "SECRET_ACCESS_KEY": "testing", "DEFAULT_REGION": "us-east-1"}
    for name, value in {**told, "ENDPOINT_URL": app.address, "EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    s3fs.S3FileSystem.clear_instance_cache()
    fs = s3fs.S3FileSystem()
    fs.mkdir("bucket")
    try:
        yield app, fs
    finally:
        app.goes_on.set()
        s3fs.S3FileSystem.clear_instance_cache()
        server.shutdown()
