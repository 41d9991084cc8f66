"""Manifests: what is written comes back; whatever a stranger may have written is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fieldrec.core.errors import StoreDamaged
from fieldrec.jobs import manifest
from fieldrec.jobs.manifest import Entry

FILES = (Entry("000000/000000.npy", 1408, "0123456789abcdef"), Entry("metadata.yaml", 0, "f" * 16))


def good() -> dict[str, Any]:
    data = manifest.build(manifest.STORE, "bees", "abc", FILES, 1_700_000_000_123_456_789)
    content: dict[str, Any] = json.loads(data)
    return content


def test_what_is_built_is_parsed() -> None:
    data = manifest.build(manifest.STORE, 'be"es', "abc", FILES, 1_700_000_000_123_456_789)
    found = manifest.parse(data, "here")
    assert found == manifest.Manifest("store", 'be"es', "abc", FILES, "2023-11-14T22:13:20Z")
    assert len(data.splitlines()) == len(FILES) + 2


def test_a_manifest_is_within_its_size_limit() -> None:
    files = [Entry(f"{number:06d}/{number:06d}.npy", 10**12, "f" * 16) for number in range(1000)]
    assert len(manifest.build("store", "n" * 100, "u" * 32, files, 0)) < manifest.size_limit(1000)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a\0b",
                                  "x" * 2000])
def test_paths_that_leave_the_item_are_refused(path: str) -> None:
    content = good()
    content["files"][0]["path"] = path
    with pytest.raises(StoreDamaged, match="here: not a manifest"):
        manifest.parse(json.dumps(content).encode(), "here")


@pytest.mark.parametrize(("key", "value"), [
    ("format", "other"), ("version", 2), ("version", None), ("kind", "film"), ("recording", None),
    ("recording", {"name": "x"}), ("recording", {"name": 1, "uuid": "x"}), ("files", {}),
    ("files", ["x"]), ("files", [{}]), ("created", 5),
    ("files", [{"path": "a", "size_bytes": -1, "xxh64": "0" * 16}]),
    ("files", [{"path": "a", "size_bytes": True, "xxh64": "0" * 16}]),
    ("files", [{"path": "a", "size_bytes": 1.5, "xxh64": "0" * 16}]),
    ("files", [{"path": "a", "size_bytes": 1, "xxh64": "0" * 15}]),
    ("files", [{"path": "a", "size_bytes": 1, "xxh64": "0" * 16 + "\n"}]),
    ("files", [{"path": "a", "size_bytes": 1, "xxh64": "G" * 16}]),
    ("files", [{"path": "a", "size_bytes": 1, "xxh64": "0" * 16}] * 2),
])
def test_wrong_values_are_refused(key: str, value: Any) -> None:
    with pytest.raises(StoreDamaged):
        manifest.parse(json.dumps({**good(), key: value}).encode(), "here")


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(StoreDamaged):
        manifest.parse(data, "here")
    with pytest.raises(StoreDamaged):
        manifest.parse_sidecar(data, "here")


def test_a_sidecar_is_the_manifest_of_its_export() -> None:
    data = json.dumps({"recording": {"name": "bees", "uuid": "abc"}, "preset": "High",
                       "file": {"name": "bees.high.mp4", "size_bytes": 5, "xxh64": "0" * 16}})
    found = manifest.parse_sidecar(data.encode(), "here")
    assert found == manifest.Manifest("export", "bees", "abc", (Entry("", 5, "0" * 16),))


@pytest.mark.parametrize("content", [
    {}, {"file": None}, {"file": {"size_bytes": 5}}, {"file": {"xxh64": "0" * 16}},
    {"file": {"size_bytes": 5, "xxh64": "0" * 16}, "recording": {"name": 1, "uuid": "x"}},
])
def test_a_sidecar_without_size_or_digest_is_refused(content: Any) -> None:
    with pytest.raises(StoreDamaged):
        manifest.parse_sidecar(json.dumps(content).encode(), "here")
