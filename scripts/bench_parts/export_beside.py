"""What `export` measures with an encoder process beside something: its memory, and what a capture
loses. One case in one process: `python export_beside.py memory|capture …`; a line of JSON.

Capture, ring, storage and encoder process are the daemon's. The daemon holds a throttled export
altogether for the first ten seconds of a recording and whenever a ring fills (app/beside.py); here
it runs from the first frame on, so what is lost here is more than a daemon would lose.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import load
import table

from fieldrec.cli.bench_export import peak_bytes
from fieldrec.export.encoder import Encoder
from fieldrec.export.presets import preset
from fieldrec.store.reader import StoreReader
from fieldrec.store.spec import ours_in

LOOK_S = 0.02
SHARE = 0.25
"""Of the time that a throttled export may run: the configuration's default."""


async def memory(preset_name: str, store: Path, place: Path) -> table.Figures:
    """The most memory that the encoder process of one export takes, with its verification."""
    encoder = Encoder(store, preset(preset_name), place, lambda *_: None)
    running = asyncio.create_task(encoder.run())
    peak = 0
    while not running.done():
        await asyncio.wait([running], timeout=LOOK_S)
        if encoder.pid is not None:
            peak = max(peak, peak_bytes(encoder.pid))
    export = running.result()
    return {"MB": peak / 1e6, "frames": export.frame_count, "movie MB": export.size_bytes / 1e6}


async def capture(beside: str, hz: float, frames: int, store: Path, place: Path
                  ) -> table.Figures:
    """Record at `hz` beside an export that is "paused", "throttled" or not there ("alone")."""
    cameras = load.cameras(1, width=1280, height=1024, hz=hz, frames=frames, paced=True)
    async with _export(beside, store, place) as encoder:
        encoded_before = _encoded(encoder)
        await load.run_fieldrec(cameras, load.given(place, cameras))
        encoded = _encoded(encoder) - encoded_before
    with StoreReader(place / cameras[0].serial) as reader:
        ours, stored = ours_in(reader.user_metadata), reader.frame_count * reader.spec.frame_bytes
    ring = load.WatchedRing.made[0].statistics()
    return {"MB/s": stored / 1e6 * hz / frames, "lost": ours["lost"], "dropped": ours["dropped"],
            "ring peak %": 100 * ring.peak / ring.slots, "exported": encoded}


@contextlib.asynccontextmanager
async def _export(beside: str, store: Path, place: Path) -> AsyncIterator[Encoder | None]:
    """An export that is under way; cancelled at the end."""
    if beside == "alone":
        yield None
        return
    begun = asyncio.Event()
    encoder = Encoder(store, preset("High"), place, lambda *_: begun.set())
    running = asyncio.create_task(encoder.run())
    await begun.wait()
    if beside == "paused":
        encoder.pause()
    else:
        encoder.throttle(SHARE)
    try:
        yield encoder
        if running.done():
            sys.exit(f"bench: the export beside it ended too early: {running.result()}")
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def _encoded(encoder: Encoder | None) -> int:
    return 0 if encoder is None else encoder.progress.done


if __name__ == "__main__":
    if sys.argv[1] == "memory":
        table.answer(asyncio.run(memory(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))))
    else:
        table.answer(asyncio.run(capture(sys.argv[2], float(sys.argv[3]), int(sys.argv[4]),
                                         Path(sys.argv[5]), Path(sys.argv[6]))))
