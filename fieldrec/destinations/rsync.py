"""A folder of another computer, by rsync over ssh. Blocking; ``copy`` thread; keeps I4.

Files are sent by rsync and read here a second time, while the page cache still has them, for their
digests (and the pixels' own): rsync tells nobody what it read. What arrived is verified by XXH64
digests that the far side takes of the files as they lie there and that come back with a listing
(`rsync -n -c --checksum-choice=xxh64`, `%C`): they are compared with what was read here, so a byte
that is wrong on either side or on the way shows.

With a key that may run a shell there (`shell: true`) unfinished work is ``.part-<item>`` and gets
its name by `mv`; before digests are taken the data is synced there and dropped from that computer's
memory, so that they are those of its disk. With a key that rrsync confines there are only rsync's
own operations: no rename, and no way past the memory of the far side. Then an item is written under
its name beside a marker ``.part-<item>``, the manifest goes last, and only then the marker: an item
with a marker is not there for us, and nothing may be deleted for such a copy unless the
configuration says so (`count_cached`, I5).
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import xxhash

from fieldrec.config.destinations import PATTERN_SIGNS, RsyncConfig
from fieldrec.core import durable
from fieldrec.core.errors import (
    DestinationAway,
    DestinationError,
    FieldrecError,
    JobRefused,
    StoreDamaged,
    VerifyMismatch,
)
from fieldrec.destinations import (
    PROOF_LIMIT,
    Expected,
    File,
    OnBytes,
    Source,
    _tree,
)
from fieldrec.destinations._rsync import Entry, Rsync, nothing
from fieldrec.mhl import CHAIN_NAME, FOLDER
from fieldrec.mhl.reading import first_manifest

UNKNOWN_BYTES = 1 << 62
"""Room where nobody can be asked: rsync says so when it is full."""
BLOCK_BYTES = 4096
EXISTS, OLD_DD, REFUSED, NO_FOLDER = 17, 18, 19, 20
"""Exit codes of the scripts below."""
_THERE = f'IFS= read -r d && cd -- "$d" 2>/dev/null || exit {NO_FOLDER}; '
"""What each begins with."""
_FREE_OF_DF = re.compile(r"\s\d+\s+\d+\s+(\d+)\s+\d+%\s")
_WRITABLE = f"[ -w . ] || exit {REFUSED}; rsync --version >/dev/null"
_FREE = "df -Pk ."
_SYNC = "{ sync -f . 2>/dev/null || sync; }"
_SETTLE = ("IFS= read -r f && " + _SYNC + " || exit; "
           f'dd if=/dev/null iflag=nocache count=0 2>/dev/null || exit {OLD_DD}; '
           'find "./$f" -type f -print0 | xargs -0 -n 100 -P 4 sh -c '
           '"for f do dd \\"if=\\$f\\" iflag=nocache count=0 status=none || exit; done" sh')
"""(A dd for each file, 1 to 2 ms, four at a time; find -exec would take no notice of one that
fails.)"""
_MOVE = ("while IFS= read -r a && IFS= read -r b; do "
         f'if [ -e "./$b" ] || [ -L "./$b" ]; then exit {EXISTS}; fi; mv -- "./$a" "./$b" || exit; '
         "done; " + _SYNC)


class RsyncDestination:
    """Items in one folder at the far side. What lies in it is asked for once and remembered until
    :meth:`close`: nobody else writes our names there meanwhile."""

    def __init__(self, name: str, config: RsyncConfig) -> None:
        self.name = name
        self._config = config
        self._folder = config.parsed.path
        self._rsync = Rsync(name, config)
        self._known: dict[str, Entry] | None = None
        self._left: tuple[str, dict[str, int]] | None = None
        """(item, what was there) at its beginning, until it is written."""
        self._settled = ""
        """Unfinished work that was written here and is in the memory of nobody there."""

    @property
    def proves(self) -> bool:
        """Whether what :meth:`verify` compares is what the medium holds (I5)."""
        return self._config.proves

    @property
    def sent_bytes(self) -> int:
        """That went over the network for files so far."""
        return self._rsync.sent_bytes

    def heed(self, stop: threading.Event) -> None:
        self._rsync.stop = stop

    # -- looking ---------------------------------------------------------------------------------

    def free_bytes(self) -> int:
        if not self._config.shell:
            self._top()
            return UNKNOWN_BYTES
        told = _FREE_OF_DF.search(self._script(_FREE)[1])
        if told is None:
            return UNKNOWN_BYTES
        return max(int(told[1]) * 1024 - self._config.keep_free_bytes, 0)

    def writable(self) -> bool | None:
        """Whether the key may write there; None without a shell, where only writing tells.
        DestinationAway where no rsync is installed there."""
        if not self._config.shell:
            return None
        return self._script(_WRITABLE, allowed=(REFUSED,))[0] == 0

    def allocation_bytes(self) -> int:
        return BLOCK_BYTES

    def items(self) -> Sequence[str]:
        top = self._top()
        whole = {entry.path.partition("/")[0] for entry in self._rsync.found(
            "--include=/*/", f"--include=/*/{FOLDER}/", f"--include=/*/{FOLDER}/{CHAIN_NAME}",
            "--exclude=*") if entry.kind == "file" and "/" in entry.path}
        whole |= {name for name in top if self._is(name, "file") and self._is(f"{name}.json",
                                                                              "file")}
        return sorted(name for name in whole
                      if not name.startswith(".") and not self._unfinished(name))

    def committed(self, item: str, limit_bytes: int = PROOF_LIMIT) -> bytes | None:
        _check_item(item)
        if self._unfinished(item):
            return None
        if self._is(item, "directory"):
            return first_manifest(
                lambda name, limit: self._rsync.read(f"{item}/{FOLDER}/{name}", limit),
                limit_bytes)
        if self._is(item, "file") and self._is(f"{item}.json", "file"):
            return self._rsync.read(f"{item}.json", limit_bytes)
        return None

    def sizes(self, item: str) -> Mapping[str, int]:
        _check_item(item)
        return self._sizes(item)

    def taken(self, item: str) -> bool:
        if self._half_committed(item) or self._unfinished(item):
            return False
        return item in self._top() or f"{item}.json" in self._top()

    # -- writing ---------------------------------------------------------------------------------

    def begin(self, item: str) -> Mapping[str, int]:
        _check_item(item)
        if set(item) & set(PATTERN_SIGNS):
            raise JobRefused(f"{item} has one of {' '.join(PATTERN_SIGNS)} in its name, which "
                             "rsync takes for a pattern; rename it, then copy it to "
                             f"{self.name}")
        part, waiting = _part(item), _part(f"{item}.json")
        if not self._config.shell:
            if part not in self._top():
                self._put(part, b"")
        elif self._half_committed(item):
            self._move((item, part))
        elif waiting in self._top() and not self._is(part, "directory"):
            self._delete([waiting])
        work = self._work(item)
        left = self._sizes(work) if work in self._top() else {}
        self._left = (item, left)
        return left

    def write(self, item: str, source: Source, on_bytes: OnBytes) -> None:
        if self._left is None or self._left[0] != item:
            self.begin(item)
        left = self._left[1] if self._left is not None else {}
        self._left = None
        wanted = [file for file in source.files if left.get(file.relative) != file.size_bytes]
        for file in wanted:
            if file.relative:
                _tree.split(file.relative)
        if wanted:
            known, self._known = self._known, None  # nobody knows what is there if it ends early
            try:
                self._send(self._work(item), wanted, source, on_bytes)
            except DestinationError as error:  # rsync says of both sides alike what is missing
                for file in wanted:
                    if not os.access(file.path, os.R_OK):
                        raise StoreDamaged(f"{file.path}: is gone, or cannot be read") from error
                raise
            self._known = known
            kind = "directory" if wanted[0].relative else "file"
            self._note(self._work(item), kind)
        self._settle(self._work(item), on_bytes)

    def verify(self, item: str, source: Expected, on_bytes: OnBytes) -> Sequence[str]:
        _check_item(item)
        work = item if item in self._top() else self._work(item)
        if self._settled != work:
            self._settle(work, on_bytes)
        self._settled = ""
        expected = {file.relative: file for file in source.files}
        digests: dict[str, str] = {}

        def on_entry(entry: Entry) -> None:
            relative = _below(work, entry.path)
            if relative in expected:
                digests[relative] = entry.xxh64
                on_bytes(expected[relative].size_bytes)

        self._rsync.below([work], digests=True, on_entry=on_entry, on_idle=on_bytes)
        return [relative for relative, file in expected.items()
                if digests.get(relative) != source.digest(file)]

    def drop(self, item: str, relatives: Iterable[str]) -> None:
        _check_item(item)
        work = self._work(item)
        self._delete(["/".join((work, *(_tree.split(relative) if relative else ())))
                      for relative in relatives])

    def commit(self, item: str, last: Mapping[str, bytes]) -> None:
        if self.taken(item):
            raise JobRefused(f"{item} exists already at {self.name}; it is not replaced")
        work, part = self._work(item), _part(item)
        single = self._is(work, "file")
        beside = f"{item}.json" if not self._config.shell else _part(f"{item}.json")
        if not single and any(path.startswith(f"{FOLDER}/") for path in self._files(work)):
            self._delete([f"{work}/{FOLDER}"])
        self._write_last({beside: last[""]} if single else {
            f"{work}/{relative}": data for relative, data in last.items()})
        if not self._config.shell:
            self._delete([part])
        elif single:
            self._move((part, item), (beside, f"{item}.json"))
        else:
            self._move((part, item))

    def _write_last(self, last: Mapping[str, bytes]) -> None:
        """In this order; VerifyMismatch when one is not there as it should be."""
        for path, data in last.items():
            self._put(path, data)
        digests = {entry.path: entry.xxh64
                   for entry in self._rsync.below(list(last), digests=True)}
        for path, data in last.items():
            if digests.get(path) != xxhash.xxh64_hexdigest(data):
                raise VerifyMismatch(f"{path} at {self.name} differs from what was written; the "
                                     "source is kept; check the medium there")

    def abort(self, item: str) -> None:
        with contextlib.suppress(FieldrecError), self._rsync.unstopped():
            part, waiting = _part(item), _part(f"{item}.json")
            if self._half_committed(item):
                self._move((item, part))
            there = [name for name in (waiting, part) if name in self._top()]
            if not self._config.shell and part in there:  # the marker last: until then it is ours
                self._delete([name for name in (item, f"{item}.json") if name in self._top()])
            self._delete(there)

    # -- files that are no items -------------------------------------------------------------------

    def beside(self, relative: str, limit_bytes: int) -> bytes | None:
        found = self._beside(relative)
        if found is None or found.size_bytes > limit_bytes:
            return None
        return self._rsync.read(relative, limit_bytes)

    def put_beside(self, relative: str, data: bytes) -> None:
        folder, slash, name = relative.rpartition("/")
        waiting = f"{folder}{slash}{_part(name)}"  # of a try that wrote here as to a folder
        self._beside(relative)
        if self._beside(waiting) is not None:
            self._delete([waiting])
        self._put(relative, data)
        told = {entry.path: entry.xxh64 for entry in self._rsync.below([relative], digests=True)}
        if told.get(relative) != xxhash.xxh64_hexdigest(data):
            raise VerifyMismatch(f"{relative} at {self.name} differs from what was written; check "
                                 "the medium there")

    def close(self) -> None:
        self._known = self._left = None
        self._settled = ""

    # -- inside ----------------------------------------------------------------------------------

    def _top(self) -> dict[str, Entry]:
        if self._known is None:
            self._known = {entry.path: entry for entry in self._rsync.top()}
        return self._known

    def _is(self, name: str, kind: str) -> bool:
        entry = self._top().get(name)
        return entry is not None and entry.kind == kind

    def _work(self, item: str) -> str:
        """Where unfinished work is written."""
        return _part(item) if self._config.shell else item

    def _unfinished(self, item: str) -> bool:
        """Whether a marker says so."""
        return not self._config.shell and _part(item) in self._top()

    def _half_committed(self, item: str) -> bool:
        """Whether a cut fell between the last two steps of committing a single file."""
        return (self._config.shell and self._is(item, "file") and f"{item}.json" not in self._top()
                and self._is(_part(f"{item}.json"), "file"))

    def _sizes(self, name: str) -> dict[str, int]:
        """As :meth:`sizes`."""
        return {relative: entry.size_bytes for relative, entry in self._files(name).items()
                if not relative.startswith(f"{FOLDER}/")}

    def _files(self, name: str) -> dict[str, Entry]:
        """The files below a name, or that file itself as ""; JobRefused for anything else."""
        files = {}
        for entry in self._rsync.below([name]):
            if entry.kind == "other":
                raise JobRefused(f"{entry.path} at {self.name} is neither a file nor a folder and "
                                 "in the way; remove it")
            if entry.kind == "file":
                files[_below(name, entry.path)] = entry
        return files

    def _beside(self, relative: str) -> Entry | None:
        """The file of that path; JobRefused where something else is in the way."""
        parts = _tree.split(relative)
        if parts[0] not in self._top():
            return None
        wanted = {"/".join(parts[:count]): "directory" for count in range(1, len(parts))}
        wanted[relative] = "file"
        found = None
        for entry in self._rsync.below([parts[0]]):
            if wanted.get(entry.path, entry.kind) != entry.kind:
                raise JobRefused(f"{entry.path} at {self.name} is in the way; remove it")
            if entry.path == relative:
                found = entry
        return found

    def _send(self, work: str, files: Sequence[File], source: Source, on_bytes: OnBytes) -> None:
        """Send, and read each file for its digest when it was sent: it is in memory then."""
        by_name = {file.relative or file.path.name: file for file in files}
        left = sum(file.size_bytes for file in files)

        def told(count: int) -> None:
            nonlocal left
            count = min(count, left)
            left -= count
            on_bytes(count)

        def on_sent(name: str) -> None:
            file = by_name.pop(name, None)
            for _ in source.slices(file) if file is not None else ():
                told(0)

        fsync = not self._config.shell
        if files[0].relative:
            self._rsync.send(_root(files), [file.relative for file in files], work, fsync=fsync,
                             on_sent=on_sent, on_bytes=told)
        else:
            self._rsync.send_file(files[0].path, work, fsync=fsync, on_sent=on_sent, on_bytes=told)
        for name in list(by_name):
            on_sent(name)
        told(left)

    def _put(self, path: str, data: bytes) -> None:
        self._rsync.put(path, data)
        first, below, _ = path.partition("/")
        self._note(first, "directory" if below else "file")

    def _note(self, name: str, kind: str) -> None:
        """What lies in the folder from now on, by our own doing."""
        if self._known is not None:
            self._known[name] = Entry(name, kind, 0, "")

    def _delete(self, paths: Sequence[str]) -> None:
        if paths:
            self._rsync.delete(paths)
            self._known = self._left = None

    def _settle(self, work: str, on_idle: OnBytes) -> None:
        """Make it durable there and drop it from that computer's memory, so that digests are those
        of its disk. Without a shell rsync has made each file durable, and no more can be done."""
        if not self._config.shell:
            return
        code, _ = self._script(_SETTLE, (work,), (OLD_DD,), on_idle)
        if code == OLD_DD:
            raise DestinationError(f"destination {self.name}: its dd cannot drop files from memory "
                                   "(GNU coreutils can), so nothing can be verified on its disk; "
                                   "set shell: false for this destination")
        self._settled = work

    def _script(self, script: str, lines: Sequence[str] = (), allowed: Sequence[int] = (),
                on_idle: OnBytes | None = None) -> tuple[int, str]:
        """(exit code, what it printed) of a script that is run in the folder."""
        code, said = self._rsync.script(_THERE + script, (self._folder, *lines),
                                        (NO_FOLDER, *allowed), on_idle)
        if code == NO_FOLDER:
            raise DestinationAway(f"destination {self.name}: folder {self._folder} is missing on "
                                  f"{self._config.parsed.host}, or may not be entered; create it "
                                  "there")
        return code, said

    def _move(self, *moves: tuple[str, str]) -> None:
        self._known = self._left = None
        lines = [name for move in moves for name in move]
        code, _ = self._script(_MOVE, lines, (EXISTS,), nothing)
        if code == EXISTS:
            raise JobRefused(f"{moves[0][1]} exists already at {self.name}; it is not replaced")


def _root(files: Sequence[File]) -> Path:
    """The folder that all of them lie in by their relative paths."""
    root = files[0].base
    if any(file.base != root for file in files):
        raise JobRefused(f"{root}: its files do not lie as they are called")
    return root


def _part(item: str) -> str:
    return durable.PART_PREFIX + item


def _below(work: str, path: str) -> str:
    """A path below the folder as one inside the item."""
    return path.removeprefix(work).removeprefix("/")


def _check_item(item: str) -> None:
    if item.startswith(".") or "/" in item or not item or not item.isprintable():
        raise JobRefused(f"{item!r} cannot be the name of an item")

