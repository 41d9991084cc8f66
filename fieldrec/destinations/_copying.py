"""What is known of an item while it is copied, and what is done with each batch of its files. Not a
kind of destination. Threads as in _pipeline.py: `new` in the caller's, `settle` in "copy check"."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fieldrec.core.past_cache import aligned_buffer
from fieldrec.destinations import Expected, File
from fieldrec.destinations._item_files import ItemFiles, NewFile
from fieldrec.destinations._reading_back import SLICE_BYTES, digest_of
from fieldrec.destinations._samples import Samples


class Seen:
    """Of an item, by those files that were read back as they were written."""

    def __init__(self, samples: Samples) -> None:
        self.good: set[str] = set()
        self.differ: list[str] = []
        self.samples = samples


class Copying:
    """One call of write; a _pipeline.Target."""

    def __init__(self, open_item: Callable[[], ItemFiles], source: Expected,
                 sync: Callable[[Sequence[str]], None], seen: Seen | None) -> None:
        """`sync` makes these files durable; `seen` is None where nothing is read back yet."""
        self._writing = open_item()
        self._reading = open_item()
        self._source = source
        self._sync = sync
        self._seen = seen
        self._view: memoryview | None = None

    def new(self, file: File) -> NewFile | SampledFile:
        """Make a file."""
        new = self._writing.new(file.relative, file.size_bytes)
        return new if self._seen is None else SampledFile(new, file.relative, self._seen.samples)

    def settle(self, batch: Sequence[File]) -> bool:
        """Make them durable, then read them back where that is asked for."""
        self._sync([file.relative for file in batch])
        return self._seen is None or all(self._is_right(file, self._seen) for file in batch)

    def close(self) -> None:
        """Let go of the directories."""
        self._writing.close()
        self._reading.close()

    def _is_right(self, file: File, seen: Seen) -> bool:
        if self._view is None:
            self._view = aligned_buffer(SLICE_BYTES)
        read_back = digest_of(self._reading, file.relative, self._view, lambda _count: None)
        if read_back == self._source.digest(file):
            seen.good.add(file.relative)
            return True
        seen.differ.append(file.relative)
        return False


class SampledFile:
    """A new file of which pieces are remembered."""

    def __init__(self, file: NewFile, relative: str, samples: Samples) -> None:
        self._file = file
        self._relative = relative
        self._samples = samples
        self._at = 0

    def write(self, data: memoryview) -> None:
        """The next bytes."""
        self._file.write(data)
        self._samples.note(self._relative, self._at, data)
        self._at += len(data)

    def close(self) -> None:
        """That was all."""
        self._file.close()
