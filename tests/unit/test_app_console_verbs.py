"""What a person at a serial console may order of exports, in which words."""

from __future__ import annotations

from typing import Any

import pytest

from fieldrec.app.console_verbs import ConsoleVerbs
from fieldrec.catalogue.scan import scan
from tests.fakes.small_stores import make_export
from tests.unit.test_control import Rig, rig  # noqa: F401

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(("said", "answer", "queued"), [
    (None, "2 exports queued", [("ants", "High"), ("bees", "High")]),
    ("ALL", "2 exports queued", [("ants", "High"), ("bees", "High")]),
    ("all low", "2 exports queued", [("ants", "Low"), ("bees", "Low")]),
    ("bees", "1 export queued", [("bees", "High")]),
    ("ants bees tiny", "2 exports queued", [("ants", "Tiny"), ("bees", "Tiny")]),
])
async def test_export(rig: Rig, said: str | None, answer: str,  # noqa: F811
                      queued: list[Any]) -> None:
    assert await ConsoleVerbs(rig.control).export(said) == answer
    assert [(job.item, job.preset) for job in rig.control.jobs()] == queued


async def test_exported_already(rig: Rig) -> None:  # noqa: F811
    make_export(rig.folder, "ants", scan(rig.folder)[0].uuid)
    verbs = ConsoleVerbs(rig.control)
    assert await verbs.export("ants") == "already exported"
    assert await verbs.export("ants bees") == "1 export queued; already exported: 1"
