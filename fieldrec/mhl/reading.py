"""The manifests of one history, found by its chain. Any thread; what `read` does may block.

A manifest counts only if the chain lists it with its C4: what somebody put beside it does not, nor
what a cut left before the chain knew it.
"""

from __future__ import annotations

from collections.abc import Callable

from fieldrec.core.errors import StoreDamaged
from fieldrec.mhl import CHAIN_LIMIT, CHAIN_NAME, MANIFEST_LIMIT, digests
from fieldrec.mhl.model import Generation
from fieldrec.mhl.parsing import parse_chain

Read = Callable[[str, int], bytes | None]
"""(name in ``ascmhl/``, limit in bytes) -> its bytes; None when it is not there, no file, or over
the limit."""


def first_manifest(read: Read, limit_bytes: int = MANIFEST_LIMIT) -> bytes | None:
    """The manifest of the first generation, which whoever made the copy wrote; None unless it is
    what the chain lists. Later generations, by whomever, change nothing about it."""
    try:
        generations = generations_of(read, "")
        return manifest_of(read, generations[0], "", limit_bytes) if generations else None
    except StoreDamaged:
        return None


def generations_of(read: Read, where: str) -> tuple[Generation, ...]:
    """All that the chain lists; () where there is no chain. StoreDamaged for one that is none."""
    data = read(CHAIN_NAME, CHAIN_LIMIT)
    return () if data is None else parse_chain(data, f"{where}{CHAIN_NAME}")


def manifest_of(read: Read, generation: Generation, where: str,
                limit_bytes: int = MANIFEST_LIMIT) -> bytes:
    """The manifest of a generation. StoreDamaged unless it is there, as the chain lists it."""
    data = read(generation.name, limit_bytes)
    if data is None:
        raise StoreDamaged(f"{where}{generation.name}: not there, though the chain lists it, or "
                           f"larger than {limit_bytes // 1_000_000} MB")
    check_c4(digests.c4(data), generation, where)
    return data


def check_c4(c4: str, generation: Generation, where: str) -> None:
    """StoreDamaged unless this, the C4 of a manifest, is what the chain lists."""
    if c4 != generation.c4:
        raise StoreDamaged(f"{where}{generation.name}: not what the chain lists (its C4 differs)")
