"""A source of files as given, for destinations: real files, since some kinds read them by path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import xxhash

from fieldrec.core.past_cache import Take
from fieldrec.destinations import File


class Given:
    """Files in a folder of their own; `sliced` bytes at a time; remembers which were read."""

    def __init__(self, folder: Path, contents: Mapping[str, bytes], *, sliced: int = 4096) -> None:
        self.files = []
        self.read: list[str] = []
        self._sliced = sliced
        for relative, data in sorted(contents.items()):
            path = folder / relative if relative else folder / "file"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            self.files.append(File(relative, folder if relative else path, len(data),
                                   path.stat().st_mtime_ns))

    def slices(self, file: File, take: Take | None = None) -> Iterator[memoryview]:
        self.read.append(file.relative)
        data = file.path.read_bytes()
        for at in range(0, len(data), self._sliced):
            part = data[at:at + self._sliced]
            view = take() if take is not None else memoryview(bytearray(self._sliced))
            view[:len(part)] = part
            yield view[:len(part)]

    def digest(self, file: File) -> str:
        return xxhash.xxh64_hexdigest(file.path.read_bytes())
