"""A TCP proxy that only adds latency: python -m benchmarks.delay PORT TARGET_PORT SECONDS."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

PART = 64 * 1024
"""Bytes forwarded at a time."""


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    on_the_way = asyncio.Queue[tuple[float, bytes]]()

    async def arrive() -> None:
        while True:
            due, part = await on_the_way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not part:
                return
            writer.write(part)
            await writer.drain()

    arriving = asyncio.ensure_future(arrive())
    with suppress(OSError):
        while True:
            part = await reader.read(PART)
            on_the_way.put_nowait((loop.time() + seconds, part))
            if not part:
                break
        await arriving
    arriving.cancel()
    with suppress(OSError):
        writer.close()


async def serve(port: int, target: int, seconds: float) -> None:
    """Forwards what arrives at a port, until the process ends.

    Args:
        port: the port to listen on.
        target: the port to forward to.
        seconds: added to each round trip, half of it in each direction.
    """

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(_pass_on(reader, to_writer, seconds / 2), _pass_on(to_reader, writer, seconds / 2))

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    print("listening", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
