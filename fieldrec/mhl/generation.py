"""One more generation of a history, as fieldrec makes them all. Any thread; nothing is written."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from fieldrec import __version__
from fieldrec.mhl import CHAIN_NAME, digests
from fieldrec.mhl.model import DirectoryHash, Generation, HashList, Head
from fieldrec.mhl.writing import chain_bytes, instant, manifest_bytes, manifest_name

TOOL = "fieldrec"


def head_of(now_ns: int, process: str, root: DirectoryHash | None, *, comment: str = "",
            ignored: tuple[str, ...] = ()) -> Head:
    """What stands at the beginning of a manifest that is made now, on this computer."""
    return Head(instant(now_ns), socket.gethostname() or "unknown", TOOL, __version__, process,
                comment, ignored, root)


def next_generation(known: Sequence[Generation], folder: str, hash_list: HashList, now_ns: int
                    ) -> tuple[Generation, dict[str, bytes]]:
    """The generation after the `known` ones, of the data set in a folder of that name; and the
    files of ``ascmhl/`` in the order in which they have to be written: its manifest counts when the
    chain lists it. StoreDamaged for a name or text that XML cannot hold."""
    data = manifest_bytes(hash_list)
    number = len(known) + 1
    made = Generation(number, manifest_name(number, folder, now_ns), digests.c4(data))
    return made, {made.name: data, CHAIN_NAME: chain_bytes([*known, made])}
