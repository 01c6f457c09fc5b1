"""The loops that the product is measured against: they only sign and post, in this one process, on plain asyncio or one thread.

Run: `python tests/benchmarks/reference.py aiohttp|requests URL SECONDS` · prints JSON: deliveries, CPU and wall seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import aiohttp
import requests

sys.path.insert(0, str(Path(__file__).parents[2]))

from server.sdk.signing import Signer, generate_secret

IN_FLIGHT = 64
SIZE = 1024
HEADERS = {"Content-Type": "application/json", "User-Agent": "reference"}


def body_of(number: int, size: int = SIZE) -> bytes:
    """Make a body of `size` bytes with the number in it."""
    start = b'{"type":"bench.order","data":{"n":"seq-%08d","fill":"' % number
    return start + b"x" * (size - len(start) - 3) + b'"}}'


def signed(signer: Signer, number: int, body: bytes) -> dict[str, str]:
    """Make the headers of one delivery, each signed anew."""
    id_, now = f"msg_{number:026d}", int(time.time())
    return {
        **HEADERS,
        "webhook-id": id_,
        "webhook-timestamp": str(now),
        "webhook-signature": signer.sign(id_, now, body),
    }


async def with_aiohttp(url: str, seconds: float) -> int:
    """Post with 64 in flight; return how many got through."""
    signer = Signer([generate_secret()])
    end = time.monotonic() + seconds
    done = 0

    async def sender(client: aiohttp.ClientSession, lane: int) -> None:
        nonlocal done
        while time.monotonic() < end:
            body = body_of(done)
            async with client.post(f"{url}/hook/{lane}", data=body, headers=signed(signer, done, body)) as answer:
                await answer.read()
                done += answer.status == 200

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        await asyncio.gather(*(sender(client, lane) for lane in range(IN_FLIGHT)))
    return done


def with_requests(url: str, seconds: float) -> int:
    """Post one after the other with one session; return how many got through."""
    signer = Signer([generate_secret()])
    end = time.monotonic() + seconds
    done = 0
    with requests.Session() as client:
        while time.monotonic() < end:
            body = body_of(done)
            answer = client.post(f"{url}/hook/0", data=body, headers=signed(signer, done, body), timeout=10)
            done += answer.status_code == 200
    return done


def main(kind: str, url: str, seconds: float) -> None:
    """Measure one loop and print its figures."""
    cpu, wall = time.process_time(), time.monotonic()
    done = asyncio.run(with_aiohttp(url, seconds)) if kind == "aiohttp" else with_requests(url, seconds)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    print(json.dumps({"deliveries": done, "cpu_seconds": cpu, "wall_seconds": wall}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
