"""The addresses do what their own description says, whatever is asked."""

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("schemathesis")

import asyncio

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import positive_data_acceptance

from histoscope.viewer.library import Library
from histoscope.viewer.server import create_app

HOST = {"host": "127.0.0.1"}
PLACES = {"layer", "zoom", "column", "row"}


@pytest.fixture(scope="module")
def schema(shown):
    return schemathesis.openapi.from_asgi(
        "/openapi.json", create_app(Library([shown]).search()), headers=HOST
    )


@pytest.fixture(scope="module")
def known(shown):
    """Ids that there are, by the name of their place in an address."""
    items = Library([shown]).search().items.values()
    return {
        "slide": [item.id for item in items],
        "results": [found.id for item in items for found in item.results],
    }


def operations(schema):
    return [one.ok() for one in schema.get_all_operations()]


def test_each_address_is_described(schema):
    paths = {one.path for one in operations(schema)}
    assert {"/api/library", "/api/slides/{slide}/tiles/{layer}/{column}/{row}"} <= paths
    for one in operations(schema):
        assert one.definition.raw["responses"]["200"]["content"], (
            f"{one.label} does not say what it answers with"
        )


@pytest.mark.filterwarnings("ignore")  # of schemathesis
def test_whatever_is_asked_the_answer_is_one_of_those_described(schema, known):
    """Right and wrong requests, drawn from the description; ids that there are, and others."""
    for operation in operations(schema):
        modes = schemathesis.GenerationMode

        @settings(
            max_examples=15,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(
            case=st.one_of(*[operation.as_strategy(generation_mode=mode) for mode in modes]), data=st.data()
        )
        def ask(case, data):
            for name in case.path_parameters:
                if name in known and data.draw(st.booleans()):
                    case.path_parameters[name] = data.draw(st.sampled_from(known[name]))
                elif name in PLACES and data.draw(st.booleans()):
                    case.path_parameters[name] = data.draw(st.integers(0, 3))
            # 422 says that a file cannot be read, too: the request was a right one.
            case.call_and_validate(headers=HOST, excluded_checks=[positive_data_acceptance])

        ask()


LINE = '{"edit": "x", "action": "draw", "outline": [[0, 0], [9, 0], [9, 9]], "class": "epithelial"}'
BODIES = [
    *[
        "",
        "null",
        "7",
        "[]",
        "{}",
        '"x"',
        "{",
        "[" * 50_000,
        '{"edits": 7}',
        '{"edits": [7]}',
        '{"edits": [null]}',
    ],
    *['{"edits": [{"action": ["draw"], "rows": {}}]}', '{"rows": [1e400, -1, "a", null]}', '{"rows": "abc"}'],
    *['{"edits": [%s]}' % LINE, LINE, "[%s]" % LINE, '{"ring": [[1e400, NaN]], "author": {"a": 1}}'],  # noqa: UP031
    *[
        b"\xff\xd8\xff\xe0 no picture",
        b"\x89PNG\r\n\x1a\n",
        b"II*\x00\x08\x00\x00\x00\xff\xff",
        b"\x00" * 100_000,
    ],
]


@pytest.mark.parametrize("content", BODIES, ids=range(len(BODIES)))
@pytest.mark.filterwarnings("ignore")
def test_whatever_is_sent_is_no_fault(schema, known, content):
    for operation in operations(schema):
        if operation.method.upper() != "POST":
            continue
        for kind in ("application/json", "image/png", "application/octet-stream"):
            path = operation.path.format(**{name: ids[0] for name, ids in known.items()})
            answer = ask_plainly(schema.app, path, content, kind)
            assert answer.status_code < 500 or answer.status_code in {501, 503, 504}, (path, answer.text)


def ask_plainly(app, path, content, kind):
    async def asked():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post(path, content=content, headers={"content-type": kind})

    return asyncio.run(asked())
