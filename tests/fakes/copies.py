"""Copies at a destination, looked at without the code that makes them: a folder of the item's name
with the store in it and, beside that, its ASC MHL history."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from fieldrec.mhl import digests
from fieldrec.mhl.model import Generation
from fieldrec.mhl.writing import chain_bytes

NAMESPACE = "{urn:ASC:MHL:v2.0}"


def history(manifest: bytes) -> dict[str, bytes]:
    """What is committed with these bytes as the first generation."""
    name = "0001_item_2026-11-21_060000Z.mhl"
    return {f"ascmhl/{name}": manifest,
            "ascmhl/ascmhl_chain.xml": chain_bytes([Generation(1, name, digests.c4(manifest))])}


def store_of(item: Path) -> Path:
    """The store of a copy."""
    store, = (path for path in item.iterdir() if path.name != "ascmhl")
    return store


def first_manifest(item: Path) -> bytes:
    """The manifest of a copy's first generation. Its chain must list it, as it is."""
    path, = (item / "ascmhl").glob("0001_*.mhl")
    data = path.read_bytes()
    assert digests.c4(data) in (item / "ascmhl" / "ascmhl_chain.xml").read_text()
    return data


def listed(item: Path) -> dict[str, tuple[int, str]]:
    """(size, XXH64) of every file of a copy, by path below the item, as its first generation says;
    read by another parser than ours."""
    return {file.findtext(f"{NAMESPACE}path", ""): (
                int(file.find(f"{NAMESPACE}path").get("size", "")),  # type: ignore[union-attr]
                file.findtext(f"{NAMESPACE}xxh64", ""))
            for file in ET.fromstring(first_manifest(item)).iter(f"{NAMESPACE}hash")}
