"""A look at a destination: what is free, what is there, what an earlier try left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from fieldrec.catalogue.scan import scan
from fieldrec.core.errors import DestinationAway, DestinationError
from fieldrec.destinations import Destination
from fieldrec.destinations.folder import FolderDestination
from fieldrec.jobs.drive_room import copied_bytes
from fieldrec.jobs.source import Stopped
from fieldrec.jobs.survey import look, survey
from fieldrec.jobs.transfer import transfer
from tests.fakes.small_stores import make_store


def test_what_a_copy_left_needs_no_room_again(tmp_path: Path) -> None:
    (tmp_path / "usb").mkdir()
    make_store(tmp_path, "bees", frames=40)
    (bees,) = scan(tmp_path)
    usb, stop, seen = FolderDestination("usb", tmp_path / "usb"), threading.Event(), 0

    def half(done: int, total: int) -> None:
        nonlocal seen
        seen = done
        if done > total // 2:
            stop.set()

    empty = look(usb, ["bees"])
    assert (empty.present, empty.begun) == (frozenset(), {}) and empty.free_bytes > 0
    try:
        with pytest.raises(Stopped):
            transfer(bees, usb, stop=stop, on_progress=half)
        left = look(usb, ["bees", "ants"])
        assert seen and 0 < left.begun["bees"] <= 60 * left.cluster_bytes
        assert copied_bytes(bees, left) < copied_bytes(bees, empty)
        transfer(bees, usb, stop=threading.Event())
        there = look(usb, ["bees"])
        assert (there.present, there.begun) == (frozenset({"bees"}), {})
        assert copied_bytes(bees, there) == 0
    finally:
        usb.close()


@pytest.mark.asyncio
async def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DestinationError, match="drive AB-12 not present"):
        await survey({}, "drive:AB-12")


@pytest.mark.asyncio
async def test_a_drive_that_hangs_is_not_waited_for_and_stays_leased_meanwhile(tmp_path: Path
                                                                               ) -> None:
    may, let_go, leases = threading.Event(), asyncio.Event(), 0

    class Hanging(FolderDestination):
        def items(self) -> Sequence[str]:
            may.wait()
            return []

    @contextmanager
    def leased() -> Iterator[Destination]:
        nonlocal leases
        leases += 1
        yield Hanging("STUCK", tmp_path)
        leases -= 1
        let_go.set()

    with pytest.raises(DestinationAway, match="drive AB-12 does not answer"):
        await survey({"drive:AB-12": leased}, "drive:AB-12", limit_s=0.01)
    assert leases == 1
    may.set()
    await let_go.wait()
    found = await survey({"drive:AB-12": leased}, "drive:AB-12")
    assert (found.present, leases) == (frozenset(), 0)
