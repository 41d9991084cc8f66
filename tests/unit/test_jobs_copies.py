"""Copies are known by their manifests alone."""

from __future__ import annotations

from pathlib import Path

from fieldrec.core.model import Copy
from fieldrec.destinations import MANIFEST_NAME
from fieldrec.jobs import manifest
from fieldrec.jobs.copies import find_copies

CREATED_NS = 1_795_240_812_000_000_000


def put(folder: Path, name: str, data: bytes) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / MANIFEST_NAME).write_bytes(data)


def test_committed_copies_of_this_recording(tmp_path: Path) -> None:
    entries = [manifest.Entry("metadata.yaml", 100, "0" * 16), manifest.Entry("a", 23, "f" * 16)]
    whole = manifest.build(manifest.STORE, "bees", "u1", entries, CREATED_NS)
    put(tmp_path / "one", "bees", whole)
    put(tmp_path / "other", "bees", manifest.build(manifest.STORE, "bees", "u2", entries, 0))
    put(tmp_path / "cut", "bees", whole[:-30])
    (tmp_path / "bare" / "bees").mkdir(parents=True)
    places = {name: tmp_path / name for name in ("one", "other", "cut", "bare", "gone")}
    assert find_copies(places, "bees", "u1") == (
        Copy("one", str(tmp_path / "one" / "bees"), 123, CREATED_NS),)


def test_a_manifest_without_a_date(tmp_path: Path) -> None:
    whole = manifest.build(manifest.STORE, "bees", "u1", [], CREATED_NS)
    put(tmp_path / "one", "bees", whole.replace(b"2026-11", b"20xx-11"))
    assert find_copies({"one": tmp_path / "one"}, "bees", "u1")[0].verified_at_ns == 0
