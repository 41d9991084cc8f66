"""Running rsync and ssh for one destination: listings, digests, files there and back. Blocking.

Each call is a process of its own in a group of its own, which is gone when the call returns or
raises. What is asked of the far side goes by names in a list that rsync sends by its own protocol
(`--files-from`), so that no shell and no wildcard ever sees them.

Used options and the rsync that has them: %C in `--out-format` 3.1.0, `--delete-missing-args`
3.1.0, `--checksum-choice` 3.1.3 with xxh64 from 3.2.0, `--fsync` 3.2.4, both sides; from 3.2.4 on
the near side also quotes what goes through a shell there.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import select
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldrec.config.destinations import RsyncConfig
from fieldrec.core.errors import DestinationAway, DestinationError
from fieldrec.destinations import OnBytes
from fieldrec.destinations._ssh import environment, failure, remote_shell, ssh_words

LOOK_MS = 250
"""While nothing is said, whether to stop is looked at so often."""
SILENCE = 4
"""Times `timeout_s` that a question which takes no time may stay without a word: ssh notices when
the host is gone, not when its disk hangs."""
PATIENCE_S = 2.0
"""For a process to end in order when it was asked to; then it is killed."""
MOST_SAID = 64 * 1024
"""Bytes of what went wrong that are read."""
NOWHERE = "/nonexistent/fieldrec/"
"""Where nothing is ever written: the near side of a listing."""
_PARTIAL = (23, 24)
"""Some of what was asked for is not there."""
_ENTRY = re.compile(rb"[<>ch.*]([fdLDS])[^|]*\|(\d+)\|([0-9a-f ]*)\|(.*)\Z", re.DOTALL)
_ESCAPED = re.compile(rb"\\#([0-7]{3})")
_KINDS = {b"f": "file", b"d": "directory"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing at the far side."""

    path: str
    """Below the folder of the destination."""
    kind: str
    """"file", "directory" or "other"."""
    size_bytes: int
    xxh64: str
    """"" where digests were not asked for."""


def nothing(_count: int) -> None:
    """Nobody is told."""


class Rsync:
    """Calls to one destination, one at a time."""

    def __init__(self, name: str, config: RsyncConfig) -> None:
        self.name = name
        self._config = config
        self._target = config.parsed
        self.stop = threading.Event()
        """When it is set, any call ends soon."""
        self.sent_bytes = 0
        """That went over the network for files; less than their sizes where some was there."""

    # -- looking ---------------------------------------------------------------------------------

    def top(self) -> list[Entry]:
        """What lies in the folder itself."""
        return list(self._list(["-dlD"], self._there("")))

    def below(self, paths: Sequence[str], *more: str, digests: bool = False,
              on_entry: Callable[[Entry], None] = lambda _entry: None,
              on_idle: OnBytes = nothing) -> list[Entry]:
        """Everything below these, as the far side has it; with `digests` it reads all of it and
        takes them there. `on_entry` hears of each as it becomes known. What is not there is left
        out. `more`: filters of rsync's own."""
        words = ["-rlD", *(["-c", "--checksum-choice=xxh64"] if digests else []), *more]
        return list(self._list(words, self._there(""), feed=_listed(paths), on_entry=on_entry,
                               on_idle=on_idle))

    def found(self, *filters: str) -> list[Entry]:
        """Whatever in the folder the filters let through."""
        return list(self._list(["-rlD", *filters], self._there("")))

    def read(self, path: str, limit_bytes: int) -> bytes | None:
        """A small regular file; None when there is none, or a larger one."""
        with tempfile.TemporaryDirectory(prefix="fieldrec-") as aside:
            words = ["-rI", f"--max-size={limit_bytes}", "--from0", "--files-from=-",
                     self._there(""), f"{aside}/"]
            self._rsync(words, feed=_listed([path]), missing=True)
            try:
                return Path(aside, path).read_bytes()
            except (FileNotFoundError, IsADirectoryError):
                return None

    # -- writing ---------------------------------------------------------------------------------

    def send(self, root: Path, relatives: Sequence[str], to: str, *, fsync: bool,
             on_sent: Callable[[str], None], on_bytes: OnBytes) -> None:
        """Bring files below `root` to the folder `to`; what is there of them already is used.
        `on_sent` hears of each that is there, `on_bytes` how much more went."""
        words = [*self._sending(fsync), "--from0", "--files-from=-", f"{root}/",
                 self._there(f"{to}/")]
        self._rsync(words, feed=_listed(relatives), on_line=self._told(on_sent, on_bytes),
                    on_idle=on_bytes)

    def send_file(self, path: Path, to: str, *, fsync: bool, on_sent: Callable[[str], None],
                  on_bytes: OnBytes) -> None:
        """Bring one file to the path `to`."""
        words = [*self._sending(fsync), str(path), self._there(to)]
        self._rsync(words, on_line=self._told(on_sent, on_bytes),
                    on_idle=on_bytes)

    def put(self, path: str, data: bytes) -> None:
        """Write a small file and the folders to it, in place of an older one, in one step."""
        with tempfile.TemporaryDirectory(prefix="fieldrec-") as aside:
            local = Path(aside, path)
            local.parent.mkdir(parents=True, exist_ok=True)
            local.write_bytes(data)
            self._rsync(["-I", "--fsync", "--from0", "--files-from=-", f"{aside}/",
                         self._there("")], feed=_listed([path]))

    def delete(self, paths: Sequence[str]) -> None:
        """Remove these, folders with all that is in them."""
        with tempfile.TemporaryDirectory(prefix="fieldrec-") as aside:
            for path in paths:
                Path(aside, path).parent.mkdir(parents=True, exist_ok=True)
            self._rsync(["-r", "--force", "--delete-missing-args", "--from0", "--files-from=-",
                         f"{aside}/", self._there("")], feed=_listed(paths))

    # -- a shell there -----------------------------------------------------------------------------

    def script(self, script: str, lines: Iterable[str], allowed: Sequence[int] = (),
               on_idle: OnBytes | None = None) -> tuple[int, str]:
        """(its exit code, what it printed) of a constant script without single quotes, which reads
        what it works on from its input; any other code than 0 and those in `allowed` is an error.
        Whatever the login shell there is called, sh runs it, and speaks English. What may take its
        time tells `on_idle` meanwhile; anything else is a question that takes none."""
        said: list[bytes] = []
        words = [*ssh_words(self._config), "--", self._target.address,
                 f"exec env LC_ALL=C sh -c '{script}'"]
        feed = "".join(f"{line}\n" for line in lines).encode()
        code = self._run(words, feed, said.append, on_idle or nothing, (0, *allowed),
                         math.inf if on_idle else self._silence_s)
        return code, b"\n".join(said).decode("utf-8", "replace")

    # -- inside ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def unstopped(self) -> Iterator[None]:
        """Calls in this block are not broken off: they clean up after one that was."""
        before, self.stop = self.stop, threading.Event()
        try:
            yield
        finally:
            self.stop = before

    def _there(self, path: str) -> str:
        return f"{self._target.remote}{self._target.path.rstrip('/')}/{path}"

    def _sending(self, fsync: bool) -> list[str]:
        limit = self._config.bandwidth_bytes_per_s
        return ["-I", "--inplace", "--no-whole-file", "--info=progress2", "--out-format=>%b|%n",
                *(["--fsync"] if fsync else []),
                *([f"--bwlimit={max(limit / 1024, 1):.2f}"] if limit else [])]

    def _told(self, on_sent: Callable[[str], None], on_bytes: OnBytes) -> Callable[[bytes], None]:
        """What makes of rsync's lines how far it is: each file when it is there, bytes
        meanwhile."""
        before = 0

        def on_line(line: bytes) -> None:
            nonlocal before
            if (sent := re.match(rb">(\d+)\|(.*)\Z", line, re.DOTALL)) is not None:
                self.sent_bytes += int(sent[1])
                if not sent[2].endswith(b"/"):
                    on_sent(_plain(sent[2]))
            elif (progress := re.match(rb"\s*([\d,]+)\s+\d+%", line)) is not None:
                now = int(progress[1].replace(b",", b""))
                if now > before:
                    on_bytes(now - before)
                    before = now
        return on_line

    def _list(self, words: Sequence[str], where: str, *, feed: bytes | None = None,
              on_entry: Callable[[Entry], None] = lambda _entry: None,
              on_idle: OnBytes = nothing) -> Iterator[Entry]:
        entries: list[Entry] = []

        def on_line(line: bytes) -> None:
            if (entry := _entry(line)) is not None:
                entries.append(entry)
                on_entry(entry)

        listed = [] if feed is None else ["--from0", "--files-from=-"]
        self._rsync(["-n", *words, "--out-format=%i|%l|%C|%n", *listed, where, NOWHERE],
                    feed=feed or b"", on_line=on_line, on_idle=on_idle, missing=feed is not None,
                    silence_s=math.inf if "-c" in words else self._silence_s)
        yield from entries

    def _rsync(self, words: Sequence[str], *, feed: bytes = b"",
               on_line: Callable[[bytes], None] = lambda _line: None, on_idle: OnBytes = nothing,
               missing: bool = False, silence_s: float = math.inf) -> None:
        quoting = ["-s"] if self._config.shell else []
        self._run(["rsync", "--outbuf=L", *quoting, "-e", remote_shell(self._config), *words],
                  feed, on_line, on_idle, (0, *(_PARTIAL if missing else ())), silence_s)

    @property
    def _silence_s(self) -> float:
        return SILENCE * self._config.timeout_s

    def _run(self, words: Sequence[str], feed: bytes, on_line: Callable[[bytes], None],
             on_idle: OnBytes, allowed: Sequence[int], silence_s: float) -> int:
        def look(idle_ms: int) -> None:
            on_idle(0)
            if self.stop.is_set():
                raise DestinationError(f"destination {self.name}: the call was broken off")
            if idle_ms >= silence_s * 1000:
                raise DestinationAway(f"destination {self.name}: {self._target.host} takes the "
                                      f"connection, but does not answer for {silence_s:.0f} s; is "
                                      "its disk all right?")

        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
            given.write(feed)
            given.seek(0)
            try:
                process = subprocess.Popen(words, stdin=given, stdout=subprocess.PIPE, stderr=said,
                                           env=environment(), start_new_session=True)
            except FileNotFoundError as error:
                raise DestinationError(f"{words[0]} is not installed; install rsync and "
                                       "openssh-client") from error
            try:
                for line in _lines(process, look):
                    on_line(line)
                code = process.wait()
            finally:
                _end(process)
            said.seek(0)
            text = said.read(MOST_SAID).decode("utf-8", "replace")
        if code not in allowed or (code == _PARTIAL[0] and "No such file" not in text):
            raise failure(self.name, self._config, code, text)
        return code


def _lines(process: subprocess.Popen[bytes], on_idle: Callable[[int], None]) -> Iterator[bytes]:
    """What a process prints, line by line, until it says no more; progress counts as lines.
    `on_idle` hears for how many ms it has been silent."""
    if process.stdout is None:
        return
    descriptor = process.stdout.fileno()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    rest = b""
    idle_ms = 0
    while True:
        if not poll.poll(LOOK_MS):
            idle_ms += LOOK_MS
            on_idle(idle_ms)
            continue
        idle_ms = 0
        data = os.read(descriptor, 65536)
        if not data:
            break
        *lines, rest = re.split(rb"[\r\n]", rest + data)
        yield from filter(None, lines)
    if rest:
        yield rest


def _end(process: subprocess.Popen[bytes]) -> None:
    """Make sure that nothing of a call is left."""
    if process.stdout is not None:
        process.stdout.close()
    _signal(process, signal.SIGTERM)
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To the process and its own; not once it was waited for: its number may be another's."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def _entry(line: bytes) -> Entry | None:
    match = _ENTRY.match(line)
    if match is None:
        return None
    path = _plain(match[4]).removesuffix("/")
    return None if path == "." else Entry(path, _KINDS.get(match[1], "other"), int(match[2]),
                                          match[3].decode().strip())


def _plain(name: bytes) -> str:
    """A name as it is: rsync prints what is not ASCII as \\#ooo."""
    return os.fsdecode(_ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), name))


def _listed(paths: Sequence[str]) -> bytes:
    """Each behind "./": rsync takes a line that begins with # or ; for a comment."""
    return b"".join(b"./" + os.fsencode(path) + b"\0" for path in paths)


