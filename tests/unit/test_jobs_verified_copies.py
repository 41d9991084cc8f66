"""Fingerprints: the same while nothing changes, another one when anything does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fieldrec.catalogue.scan import scan
from fieldrec.core.errors import FieldrecError
from fieldrec.core.model import Recording
from fieldrec.jobs.verified_copies import (
    VerifiedCopies,
    VerifiedCopy,
    covered,
    fingerprint,
)
from tests.fakes.small_stores import make_export, make_store


def recording(root: Path) -> Recording:
    return scan(root)[0]


def copy(destination: str, at: int, uuid: str = "u") -> VerifiedCopy:
    return VerifiedCopy(uuid, "bees", destination, "", at, "f" * 16, 10)


def test_it_changes_with_anything_that_matters(tmp_path: Path) -> None:
    make_store(tmp_path, "bees", seed=1)
    prints = [fingerprint(recording(tmp_path))]
    assert fingerprint(recording(tmp_path)) == prints[0]
    frame = next((tmp_path / "bees" / "000000").glob("*.npy"))
    frame.write_bytes(frame.read_bytes() + b"x")
    prints.append(fingerprint(recording(tmp_path)))
    index = tmp_path / "bees" / "000000" / "index.npz"
    data = bytearray(index.read_bytes())
    data[-30] ^= 1
    index.write_bytes(data)
    prints.append(fingerprint(recording(tmp_path)))
    make_export(tmp_path, "bees", recording(tmp_path).uuid)
    prints.append(fingerprint(recording(tmp_path)))
    assert len(set(prints)) == 4
    assert [covered(recording(tmp_path), one) for one in prints] == [
        set(), set(), {"bees"}, {"bees", "bees.high.mp4"}]
    assert covered(recording(tmp_path), "f" * 16) == covered(recording(tmp_path), "[]") == set()


def test_what_is_newer_than_the_copy_is_not_covered(tmp_path: Path) -> None:
    make_store(tmp_path, "bees", seed=1)
    newest = max(file.stat().st_mtime_ns for file in (tmp_path / "bees").rglob("*"))
    assert fingerprint(recording(tmp_path), newest) == ""
    assert fingerprint(recording(tmp_path), newest + 1) == fingerprint(recording(tmp_path))
    os.utime(tmp_path / "bees" / "metadata.yaml", ns=(newest + 5, newest + 5))
    assert fingerprint(recording(tmp_path), newest + 1) == ""


def test_what_is_not_complete_has_none(tmp_path: Path) -> None:
    make_store(tmp_path, "bees", seed=1)
    one = recording(tmp_path)
    (tmp_path / "bees" / ".lock").touch()
    with pytest.raises(FieldrecError):
        fingerprint(one)


def test_the_latest_copy_of_each_destination_is_known() -> None:
    copies = VerifiedCopies([copy("nas", 1), copy("drive:1", 5), copy("nas", 9, uuid="other")])
    copies.add(copy("nas", 7))
    assert [one.verified_at_ns for one in copies.named("u", "bees")] == [7, 5]
    copies.forget("u", "bees", "nas")
    copies.forget("u", "bees", "never there")
    assert [one.destination for one in copies.named("u", "bees")] == ["drive:1"]
    assert copies.new == [] and [one.verified_at_ns for one in copies.gone] == [7]
    assert copies.named("none", "bees") == []
