"""The copy of the sidecar that a movie carries inside, so that it tells everything when the sidecar
got lost. Blocking; in the thread that writes the movie.

The content is what :func:`fieldrec.export.sidecar.content` makes: all but what only verification
can know. Where it lies in each container is told in :mod:`fieldrec.store.movie.embedded`, which
reads it; players, ffprobe and OpenCV pass over it without a word.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fieldrec.store.movie.embedded import (
    ATTACHMENT_NAME,
    ATTACHMENT_TYPE,
    AVI_MARK,
    MP4_UUID,
    embedded,
)

if TYPE_CHECKING:
    from av.container import OutputContainer

    from fieldrec.export.containers import Container


class Appended(Protocol):
    """The movie's file, as far as it is needed here; encoding.PartFile is one."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file."""
        ...

    def write(self, data: bytes) -> int:
        """All of `data`; StoreFull when the disk is full."""
        ...


def before(movie: OutputContainer, container: Container, content: bytes) -> None:
    """Call when the streams are added and no packet was muxed yet: Matroska wants it then."""
    if container.muxer == "matroska":
        movie.add_attachment(ATTACHMENT_NAME, ATTACHMENT_TYPE, content)


def after(file: Appended, container: Container, content: bytes) -> None:
    """Call when the muxer was closed: MP4 and AVI get it at the file's end. StoreFull."""
    if container.muxer == "mp4":
        size = 8 + len(MP4_UUID) + len(content)
        parts = (size.to_bytes(4, "big") + b"uuid" + MP4_UUID, content)
    elif container.muxer == "avi":
        size = len(AVI_MARK) + len(content)
        parts = (b"JUNK" + size.to_bytes(4, "little") + AVI_MARK, content + b"\0" * (size % 2))
    else:
        return
    file.seek(0, os.SEEK_END)
    for part in parts:
        file.write(part)


def read(path: Path) -> dict[str, Any] | None:
    """What the movie at `path` carries; None when that is nothing, or no JSON. OSError."""
    content = embedded(path)
    try:
        told = json.loads(content) if content is not None else None
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None
