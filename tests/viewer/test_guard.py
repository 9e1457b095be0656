"""What is sent to the server has a size and a time, whichever route takes it."""

import asyncio

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import fastapi
import httpx

from histoscope.viewer import guard


@pytest.fixture
def post(monkeypatch):
    monkeypatch.setattr(guard, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr(guard, "BODY_S", 0.2)
    app = fastapi.FastAPI()

    async def take(request: fastapi.Request) -> int:
        return len(await request.body())

    async def parsed(numbers: list[int]) -> int:
        return len(numbers)

    app.add_api_route("/take", take, methods=["POST"])
    app.add_api_route("/parsed", parsed, methods=["POST"])

    def ask(path, content):
        async def asked():
            transport = httpx.ASGITransport(guard.Guard(app))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.post(path, content=content, headers={"content-type": "application/json"})

        return asyncio.run(asked())

    return ask


@pytest.mark.parametrize("path", ["/take", "/parsed"])
def test_what_is_too_large_or_too_slow_is_refused(post, path):
    async def endless():
        for _ in range(100):
            yield bytes(1 << 16)

    async def slow():
        yield b"["
        await asyncio.sleep(60)

    assert post(path, b"[1,2]").status_code == 200
    assert post(path, bytes((1 << 20) + 1)).status_code == 413
    assert post(path, endless()).status_code == 413
    assert post(path, slow()).status_code == 408
