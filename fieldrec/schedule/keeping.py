"""The schedule's two files in the private folder: tasks that were added, and what is remembered.

Blocking; in the schedule's worker. Both are whole at any moment (written beside, synced, renamed).
One that is damaged is set aside under another name and said: the tasks of the configuration run
without it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fieldrec.config.models import Config
from fieldrec.core import durable
from fieldrec.core.errors import FieldrecError
from fieldrec.schedule.place import Place
from fieldrec.schedule.table import Say, Table

TASKS_NAME = "schedule.json"
MEMORY_NAME = "schedule-memory.json"
ASIDE = ".damaged"
MOST_BYTES = 4 << 20
"""A larger file is not one of ours."""


class Kept:
    """One JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[Mapping[str, Any], str]:
        """(its values, "") or, when it is damaged, ({}, why); ({}, "") when there is none."""
        try:
            with self.path.open("rb") as file:
                text = file.read(MOST_BYTES + 1)
            values = json.loads(text) if len(text) <= MOST_BYTES else None
        except FileNotFoundError:
            return {}, ""
        except (OSError, ValueError, RecursionError) as error:
            return {}, f"{self.path.name} cannot be read: {error}"
        if not isinstance(values, Mapping):
            return {}, f"{self.path.name} cannot be read: not what was written there"
        return values, ""

    def set_aside(self) -> None:
        """Keep a damaged file for whoever can make something of it; the next write makes a new
        one."""
        with contextlib.suppress(OSError):
            durable.rename(self.path, self.path.with_name(self.path.name + ASIDE))

    def write(self, values: Mapping[str, Any]) -> None:
        """Replace it. OSError, StoreFull."""
        durable.write_atomic(self.path, json.dumps(values, ensure_ascii=False).encode() + b"\n")


def take_added(table: Table, private: Path, say: Say) -> None:
    """Have the table take what commands added to it; for who only looks."""
    values, problem = Kept(private / TASKS_NAME).read()
    try:
        if values:
            table.take(values, say)
    except ValueError as error:
        problem = f"{TASKS_NAME} cannot be used: {error}"
    if problem:
        say(problem, "warning")


def configured_place(config: Config) -> Place | None:
    """The place that the configuration says; None where it says none, or gpsd."""
    location = config.schedule.location
    return None if location is None or location == "gpsd" else Place(location.latitude,
                                                                     location.longitude)


def remembered_place(values: Mapping[str, Any]) -> Place | None:
    """Where the box was known to be last, by what is remembered; None: nowhere."""
    place = values.get("place")
    if not isinstance(place, list) or len(place) != 2:
        return None
    with contextlib.suppress(FieldrecError):
        return Place(*place)
    return None
