"""Copies are known by their histories alone."""

from __future__ import annotations

import os
from pathlib import Path

from fieldrec.core.model import Copy
from fieldrec.jobs import manifest
from fieldrec.jobs.copies import find_copies
from tests.fakes.copies import history

CREATED_NS = 1_795_240_812_000_000_000
ENTRIES = [manifest.Entry("metadata.yaml", 100, "0" * 16), manifest.Entry("a", 23, "f" * 16)]


def put(folder: Path, name: str, made: dict[str, bytes]) -> None:
    for relative, data in made.items():
        path = folder / name / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def made(uuid: str, created_ns: int = CREATED_NS) -> dict[str, bytes]:
    return manifest.history("bees", "bees", uuid, ENTRIES, created_ns)


def test_committed_copies_of_this_recording(tmp_path: Path) -> None:
    put(tmp_path / "one", "bees", made("u1"))
    put(tmp_path / "other", "bees", made("u2", 0))
    put(tmp_path / "cut", "bees", dict([next(iter(made("u1").items()))]))
    put(tmp_path / "strange", "bees", history(b"<no/>"))
    (tmp_path / "bare" / "bees").mkdir(parents=True)
    (tmp_path / "pipe" / "bees" / "ascmhl").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe" / "bees" / "ascmhl" / "ascmhl_chain.xml")
    places = {name: tmp_path / name
              for name in ("one", "other", "cut", "strange", "bare", "pipe", "gone")}
    assert find_copies(places, "bees", "u1") == (
        Copy("one", str(tmp_path / "one" / "bees" / "bees"), 123, CREATED_NS),)


def test_a_manifest_without_a_date(tmp_path: Path) -> None:
    whole = next(iter(made("u1").values())).replace(b"2026-11", b"20xx-11")
    put(tmp_path / "one", "bees", history(whole))
    assert find_copies({"one": tmp_path / "one"}, "bees", "u1")[0].verified_at_ns == 0
