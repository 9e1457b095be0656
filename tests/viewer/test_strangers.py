"""Clients that are slow, many, or up to no good: the others are answered, and nothing leaves the folder."""

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from histoscope.viewer.library import Library
from histoscope.viewer.server import create_app

LIMIT_S = 0.3
PATIENCE_S = 60


@pytest.fixture(scope="module")
def port(shown, serve):
    """Of a server whose patience is short."""
    with serve(create_app(Library([shown]).search()), limit_s=LIMIT_S) as address:
        yield int(re.search(r":(\d+)/", address)[1])


@pytest.fixture(scope="module")
def ids(shown):
    library = Library([shown]).search()
    item = next(item for item in library.items.values() if item.name == "slide.tif")
    return item.id, item.results[0].id


def connect(port, receive_bytes=None):
    client = socket.socket()
    if receive_bytes:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    client.settimeout(PATIENCE_S)
    client.connect(("127.0.0.1", port))
    return client


def get(port, path="/api/library"):
    with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as client:
        client.request("GET", path)
        answer = client.getresponse()
        return answer.status, answer.read()


def raw(port, text, *, more=b""):
    """Status of a request as it is written, and all that is answered."""
    with connect(port) as client:
        client.sendall(text.encode("latin-1") + more)
        said = b""
        while not re.search(rb"\r\n\r\n", said):
            got = client.recv(65_536)
            if not got:
                break
            said += got
    return int(said.split()[1]) if said else 0, said


def rest_of(client):
    """Number of bytes that come until the other side ends the connection."""
    n = 0
    try:
        while got := client.recv(65_536):
            n += len(got)
    except ConnectionError:
        pass
    return n


def test_half_a_request_is_not_waited_for_and_holds_up_nobody(port):
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(port)) for _ in range(40)]
        for client in clients:
            client.sendall(b"GET /api/library HTTP/1.1\r\nHost: 127")
        assert get(port)[0] == 200
        assert [rest_of(client) for client in clients] == [0] * 40


def test_a_request_that_comes_byte_by_byte_is_not_waited_for(port):

    def trickle(client):
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            client.sendall(b"x")
            time.sleep(0.02)

    with connect(port) as client, pytest.raises(OSError, match=r"pipe|reset"):
        trickle(client)


def test_a_head_without_an_end_is_not_kept(port):
    with connect(port) as client, pytest.raises(OSError, match=r"pipe|reset"):
        client.sendall(b"GET /api/library HTTP/1.1\r\n" + b"X: y\r\n" * 10_000_000)


def test_one_who_takes_no_answers_is_let_go(port, ids):
    path = f"/api/slides/{ids[0]}/thumbnail"
    size = len(get(port, path)[1])
    with connect(port, receive_bytes=4096) as client:
        client.sendall(5000 * f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert get(port)[0] == 200
        time.sleep(5 * LIMIT_S)
        assert rest_of(client) < 4000 * size


def test_one_who_is_slow_but_takes_some_is_kept(port, ids):
    """Not for ever between requests, but while others of a browser's connections are used."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as client:
        for _ in range(8):
            client.request("GET", "/api/library")
            assert client.getresponse().read()
            time.sleep(LIMIT_S / 3)


def test_fifty_readers_at_once_see_what_one_sees(shown, serve, ids):
    slide, results = ids
    addresses = [
        *[f"/api/slides/{slide}/tiles/{layer}/0/0" for layer in range(2)],
        *[f"/api/results/{results}/{what}/0/0/0" for what in ("outlines", "density")],
    ]
    with serve(create_app(Library([shown]).search())) as address:
        port = int(re.search(r":(\d+)/", address)[1])
        alone = [get(port, one) for one in addresses]
    with serve(create_app(Library([shown]).search())) as address, ThreadPoolExecutor(50) as pool:
        port = int(re.search(r":(\d+)/", address)[1])  # nothing is open yet
        many = list(pool.map(lambda at: get(port, addresses[at % 4]), range(200)))
    assert {status for status, _ in alone} == {200}
    assert [many[at] == alone[at % 4] for at in range(200)] == [True] * 200


UP = [
    "..",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "..%2f..",
    "..%5c..",
    "%252e%252e",
    "..%00",
    "%c0%ae%c0%ae",
    "..;",
    "…",
    "%u002e",
]


@pytest.mark.parametrize("up", UP)
def test_no_way_leads_up(port, up):
    for start in ("/", "/js/", "//", "/api/", "/api/slides/", "/./", "\\"):
        for end in ("server.py", "etc/passwd", "pyproject.toml"):
            path = f"{start}{'/'.join([up] * 6)}/{end}".encode().decode("latin-1")
            status, said = raw(port, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert status in {400, 404, 422}, path
            assert b"root:" not in said
            assert b"create_app" not in said


ODD = [
    "/%00",
    "/index.html%00.js",
    "/" + "a" * 5000,
    "/" + "a/" * 3000,
    "/api/slides/%00",
    "/api/slides/" + "0" * 2000,
    "/api/results/%ff%fe/rows/1",
    "/api/slides/{}/tiles/0/0/99999999999999999999999",
    "/api/slides/{}/tiles/-0/٣/0",
    "/api/slides/{}/tiles/1e1/0/0",
    "/api/slides/{}/tiles/0/0/0?v=" + "x" * 4000,
    "/js",
    "/js/",
    "/?" + "&".join("a=b" for _ in range(5000)),
    "/con", "/aux.txt", "/nul",
]  # fmt: skip


@pytest.mark.parametrize("path", ODD)
@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"]
)
def test_odd_requests_are_answered_without_a_fault(port, ids, method, path):
    path = path.replace("{}", ids[0]).encode().decode("latin-1")
    status, _ = raw(port, f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n")
    assert 200 <= status < 500


@pytest.mark.parametrize("path", ["/", "/api/slides/{}", "/api/slides/{}/tiles/0/0/0"])
def test_a_head_is_that_of_the_answer(port, ids, path):
    path = path.format(ids[0])
    status, said = raw(port, f"HEAD {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert status == 200
    assert f"content-length: {len(get(port, path)[1])}".encode() in said.lower()
    assert said.endswith(b"\r\n\r\n")
    for method in ("OPTIONS", "DELETE", "TRACE"):
        assert raw(port, f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")[0] == 405


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: 99999999999",
        "Content-Length: -1",
        "Content-Length: 1\r\nContent-Length: 2",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Transfer-Encoding: gzip",
        "Range: bytes=0-" + ",0-" * 2000,
        "Range: bytes=9999999999999999999-",
        "If-None-Match: " + '"' * 5000,
        "If-Modified-Since: yesterday",
        "Accept-Encoding: " + "gzip, " * 3000,
        "Cookie: " + "a=b; " * 3000 + "histoscope=\x80",
        "Authorization: Bearer \xff\xfe",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==",
        "Expect: 100-continue",
        "Origin: null",
        "X: " + "x" * 1_000_000,
        "\r\n".join(f"X-{k}: y" for k in range(20_000)),
        "no header at all",
        " folded: header",
        "Name\x00: x",
    ],
)
def test_odd_headers_are_answered_without_a_fault(port, ids, headers):
    for method, path in (
        ("GET", "/style.css"), ("GET", f"/api/slides/{ids[0]}/tiles/0/0/0"), ("POST", "/api/library"),
    ):  # fmt: skip
        try:
            status, _ = raw(
                port, f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n\r\n", more=b"4\r\n"
            )
        except ConnectionError:
            continue  # it hung up before all was said
        assert status < 500
    assert get(port)[0] == 200


HOSTS = [
    *["", "example.org", "192.0.2.7", "0.0.0.0", "127.0.0.1.example.org", "localhost.example.org"],
    *["example.org#127.0.0.1", "127.0.0.1@example.org", "127.0.0.1, example.org", "example.org:80:127.0.0.1"],
    *["[::1", "[::ffff:192.0.2.7]:80"],
]


@pytest.mark.parametrize("host", HOSTS)
def test_only_the_machine_itself_is_answered(port, host):
    assert raw(port, f"GET /api/library HTTP/1.1\r\nHost: {host}\r\n\r\n")[0] in {400, 403}


def test_a_second_name_of_the_host_lets_nobody_in(port):
    for one, other in (("127.0.0.1", "example.org"), ("example.org", "127.0.0.1")):
        assert raw(port, f"GET /api/library HTTP/1.1\r\nHost: {one}\r\nHost: {other}\r\n\r\n")[0] in {
            400,
            403,
        }
    assert raw(port, "GET /api/library HTTP/1.0\r\n\r\n")[0] in {400, 403}


def test_what_is_not_http_is_turned_away(port):
    for said in (
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        "\x00" * 4000,
        "GET\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ):
        with connect(port) as client:
            client.sendall(said.encode("latin-1"))
            assert rest_of(client) < 1000
    assert get(port)[0] == 200


def test_the_way_in_cannot_be_led_elsewhere(shown, serve):
    """The address that a token is taken from is one of this server, whatever it holds."""
    with serve(create_app(Library([shown]).search(), token="s3cret")) as address:
        port = int(re.search(r":(\d+)/", address)[1])
        for path in (
            "/%0d%0aX-Bad:%20yes",
            "//example.org/",
            "/%5cexample.org",
            "/\\example.org",
            "/%ff",
        ):
            status, said = raw(port, f"GET {path}?token=s3cret HTTP/1.1\r\nHost: lab\r\n\r\n")
            assert status in {303, 400}
            assert b"\r\nX-Bad" not in said
            assert not re.search(rb"location: (//|/\\|[^/])", said)
        for given in ("", "S3CRET", "s3cre", "%00", "s3cret%00", "\xff"):
            asks = f"GET /?token={given} HTTP/1.1", f"GET / HTTP/1.1\r\nCookie: histoscope={given}"
            assert {raw(port, f"{ask}\r\nHost: lab\r\n\r\n")[0] for ask in asks} <= {400, 401}
