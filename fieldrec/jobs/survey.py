"""A look at a destination before anything is given to it: what is free, what is there already, and
what an earlier try left. Event loop; the look itself in a thread ``look PLACE``, the drive leased
meanwhile. Nothing is written."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping

from fieldrec.destinations import Destination
from fieldrec.jobs.admission import describe_destination
from fieldrec.jobs.drive_room import Room
from fieldrec.jobs.places import DestinationFactory, opened
from fieldrec.jobs.tars import wants_tars
from fieldrec.jobs.threads import at, within

LIMIT_S = 60.0
"""Somebody waits for the answer. A folder with 10^6 entries takes 4 s."""


async def survey(places: Mapping[str, DestinationFactory], name: str, begun: Collection[str] = (),
                 *, limit_s: float = LIMIT_S) -> Room:
    """The room at a destination. `begun`: items that an earlier try may have left unfinished.
    DestinationError, DriveGone when it is not there or does not answer within `limit_s`."""
    async def looked() -> Room:
        with opened(places, name) as destination:
            return await at(destination, lambda _stop: look(destination, begun), verb="look")

    return await within(limit_s, looked(), f"{describe_destination(name)} does not answer")


def look(destination: Destination, begun: Collection[str] = ()) -> Room:
    """The same, blocking; the destination is let go of."""
    with contextlib.closing(destination):
        free, cluster = destination.free_bytes(), max(destination.allocation_bytes(), 1)
        present = frozenset(destination.items())
        left = {item: sum(-(-size // cluster) * cluster for size in
                          destination.begin(item).values())
                for item in begun if item not in present}
        return Room(free, cluster, present=present, takes_tars=wants_tars(destination),
                    begun={item: size for item, size in left.items() if size})
