"""Proofs of copies: what is written comes back; whatever a stranger may have written is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fieldrec.core.errors import StoreDamaged
from fieldrec.jobs import manifest
from fieldrec.jobs.manifest import Entry
from fieldrec.mhl import LARGEST_MANIFEST, MANIFEST_LIMIT
from fieldrec.mhl.parsing import parse_chain, parse_manifest

FILES = (Entry("bees/000000/000000.npy", 1408, "0123456789abcdef"),
         Entry("bees/metadata.yaml", 0, "f" * 16))
CREATED_NS = 1_700_000_000_123_456_789


def good(name: str = "bees") -> bytes:
    return next(iter(manifest.history("item", name, "abc", FILES, CREATED_NS).values()))


def test_what_is_built_is_parsed() -> None:
    found = manifest.parse(good('be"<&>es\n'), "here")
    assert found == manifest.Manifest("store", 'be"<&>es\n', "abc", FILES,
                                      "2023-11-14T22:13:20+00:00")


def test_a_history_is_a_manifest_and_the_chain_that_lists_it() -> None:
    made = manifest.history("item", "bees", "abc", FILES, CREATED_NS)
    assert list(made) == ["ascmhl/0001_item_2023-11-14_221320Z.mhl", "ascmhl/ascmhl_chain.xml"]
    generation, = parse_chain(made["ascmhl/ascmhl_chain.xml"], "here")
    assert generation.name == "0001_item_2023-11-14_221320Z.mhl"
    told = parse_manifest(good(), "here")
    assert [one.path for one in told.directories] == ["bees/000000", "bees"]
    assert (told.head.process, told.head.tool) == ("transfer", "fieldrec")
    assert told.head.root is not None


def test_a_manifest_is_within_its_size_limit() -> None:
    files = [Entry(f"{'&' * 200}/{number:06d}.npy", 10**12, "f" * 16, 10**18)
             for number in range(1000)]
    data = next(iter(manifest.history("n" * 100, "n" * 100, "u" * 32, files, 0).values()))
    assert len(data) < manifest.size_limit(1000)


def test_a_day_of_recording_is_within_what_is_ever_read() -> None:
    name = "garden_20261121_060000_22345678"
    files = [Entry(f"{name}/000001/{number:06d}.npy", 10**7, "f" * 16, 10**18)
             for number in range(1000)]
    data = next(iter(manifest.history(name, name, "u" * 32, files, 0).values()))
    assert len(data) * 2000 < LARGEST_MANIFEST  # two million frames: 18.5 hours at 30 Hz
    assert 0 < MANIFEST_LIMIT <= LARGEST_MANIFEST


@pytest.mark.parametrize(("old", "new"), [
    (">fieldrec</tool>", ">another</tool>"), ("transfer", "in-place"), ("fieldrec rec", "rec"),
    ("kind&quot;: &quot;store", "kind&quot;: &quot;film"), ('size="1408"', 'size="-1"'),
    ('size="1408"', ""), ("xxh64", "xxh3"), ("0123456789abcdef", "0123456789abcde"),
    ("0123456789abcdef", "x" * 16), ("&quot;abc&quot;", "5"), ("{", "["), ("000000.npy", "../x"),
    (">bees/metadata.yaml", ">bees/000000/000000.npy"),
])
def test_wrong_values_are_refused(old: str, new: str) -> None:
    changed = good().decode().replace(old, new)
    assert changed != good().decode()
    with pytest.raises(StoreDamaged, match="here: not a"):
        manifest.parse(changed.encode(), "here")


def test_a_name_that_xml_cannot_hold_is_refused_before_anything_is_written() -> None:
    with pytest.raises(StoreDamaged, match="rename it"):
        manifest.history("item", "bees", "abc", [Entry("a\x01", 1, "0" * 16)], 0)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(StoreDamaged):
        manifest.parse(data, "here")
    with pytest.raises(StoreDamaged):
        manifest.parse_sidecar(data, "here")


def test_a_sidecar_is_the_proof_of_its_export() -> None:
    data = json.dumps({"recording": {"name": "bees", "uuid": "abc"}, "preset": "High",
                       "file": {"name": "bees.high.mp4", "size_bytes": 5, "xxh64": "0" * 16}})
    found = manifest.parse_sidecar(data.encode(), "here")
    assert found == manifest.Manifest("export", "bees", "abc", (Entry("", 5, "0" * 16),))


@pytest.mark.parametrize("content", [
    {}, {"file": None}, {"file": {"size_bytes": 5}}, {"file": {"xxh64": "0" * 16}},
    {"file": {"size_bytes": -1, "xxh64": "0" * 16}}, {"file": {"size_bytes": 5, "xxh64": "0" * 15}},
    {"file": {"size_bytes": True, "xxh64": "0" * 16}},
    {"file": {"size_bytes": 5, "xxh64": "0" * 16}, "recording": {"name": 1, "uuid": "x"}},
])
def test_a_sidecar_without_size_or_digest_is_refused(content: Any) -> None:
    with pytest.raises(StoreDamaged):
        manifest.parse_sidecar(json.dumps(content).encode(), "here")
