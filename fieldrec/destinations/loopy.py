"""Uploads to Loopy, or to any server that speaks tus 1.0. Blocking; thread ``upload NAME``.

No :class:`~fieldrec.destinations.Destination`: nothing can be read back from there, so that what
was uploaded never counts as verified and nothing is deleted for it (I5). An upload goes on where
the server says that it is: after a broken connection, a restart, a day without a network. Its
address is given to whoever keeps it before the first byte is sent. The key goes into the headers of
calls and nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Protocol

from fieldrec.config.loopy import LoopyConfig, check_key
from fieldrec.core.clock import Clock, SystemClock
from fieldrec.core.errors import DestinationError, JobRefused, Unreachable
from fieldrec.destinations.http_call import Caller, Halted
from fieldrec.destinations.tus import Offer, Refused, Standing, Tus
from fieldrec.drives.labels import printable

PAUSES_S = (0.5, 2.0, 5.0)
"""Before it is tried again, until something moves; then the job waits, for longer and longer."""
LONGEST_AFTER_S = 60.0
"""A server that asks to be left alone for longer is waited for by the job."""
BEGUN_ANEW = 3
"""Times that a server may forget an upload while it is made."""
SPACE = "x-loopy-user-space-remaining"
_KEY_FILE_BYTES = 4096
_KEY_WRONG = (401, 403)
_GONE = (404, 410)
_TOO_LARGE = (413, 507)
_AT_ONCE = (409, 460)
"""Another offset than the server's, a checksum that differs: asked where it is, and again."""
_LATER = frozenset({408, 423, 425, 429, *range(500, 600)}) - {501, 505, 507}

OnProgress = Callable[[int], None]
"""Told how many bytes of the whole are there, or on their way."""


class Content(Protocol):
    """What is uploaded: one file, or a stream that is the same at every reading."""

    @property
    def name(self) -> str:
        """As the server will show it."""
        ...

    @property
    def total_bytes(self) -> int: ...

    @property
    def deferred(self) -> bool:
        """Whether its length is told at the end, as Loopy has it of a store."""
        ...

    def slices(self, begin: int) -> Iterator[memoryview | bytes]:
        """From byte `begin` on; each slice is valid until the next one is asked for. What it raises
        (the source is damaged, a stop) passes through an upload."""
        ...


class Loopy:
    """One configured server. Made and used in one thread."""

    def __init__(self, name: str, config: LoopyConfig, *, stop: threading.Event,
                 clock: Clock | None = None, pauses_s: tuple[float, ...] | None = None) -> None:
        """Reads the key; JobRefused when that cannot be used. `pauses_s`: in place of PAUSES_S."""
        self.name = name
        self._config = config
        self._stop = stop
        self._pauses_s = PAUSES_S if pauses_s is None else pauses_s
        self._key = _key_of(name, config)
        headers = {"X-API-Key": self._key}
        if config.user is not None:
            headers["X-API-User"] = config.user
        self._caller = Caller(config.url, stop=stop, limit_s=config.timeout_s,
                              clock=clock or SystemClock())
        self._tus = Tus(self._caller, config.url, headers)

    def upload(self, content: Content, location: str | None, *,
               on_begun: Callable[[str], None], on_progress: OnProgress) -> None:
        """Upload `content`, going on with the upload at `location` if the server still has it.
        `on_begun` hears the address of each upload that is begun.

        Halted when asked to stop; Unreachable, DestinationError; JobRefused for what another try
        would not change: the key, the size.
        """
        tries, lost, best = -1, 0, 0
        offer: Offer | None = None
        while True:
            run = _Run(self._tus, content, location, self._config.part_bytes, on_begun, on_progress)
            try:
                if offer is None:
                    offer = self._tus.offer()
                if location is None:
                    self._check_size(content, offer)
                run.go(offer)
                return
            except (Refused, Unreachable) as error:
                location = run.location
                if isinstance(error, Refused) and run.is_gone(error) and lost < BEGUN_ANEW:
                    location, lost = None, lost + 1
                    continue
                tries = 0 if run.offset > best else tries + 1
                progressed, best = best > 0 or run.offset > 0, max(best, run.offset)
                self._pause(error, content, tries, progressed)

    def forget(self, location: str) -> None:
        """Tell the server that an upload will not go on, if it wants to know; best effort."""
        with contextlib.suppress(DestinationError):
            if self._tus.offer().has("termination", unsaid=False):
                self._tus.end(location)

    def room_bytes(self) -> int | None:
        """What the account has left, None where that is not told; raises as :meth:`upload` when
        the server cannot be used, now or at all. For a look at whether it can."""
        try:
            return _room(self._tus.offer())
        except Refused as error:
            raise self._final(error, "") or self._not_now(error) from error

    def close(self) -> None:
        """Hang up. Idempotent."""
        self._caller.close()

    def _check_size(self, content: Content, offer: Offer) -> None:
        total = content.total_bytes
        if offer.most_bytes is not None and total > offer.most_bytes:
            raise JobRefused(f"{self.name} takes files of at most {_size(offer.most_bytes)}; "
                             f"{content.name} has {_size(total)}")
        room = _room(offer)
        if room is not None and total > room:
            raise JobRefused(f"{self.name} has {_size(room)} left for this account; {content.name} "
                             f"needs {_size(total)}; make room there, then `fieldrec retry`")

    def _pause(self, error: Refused | Unreachable, content: Content, tries: int, progressed: bool
               ) -> None:
        """Wait before another try, or say why there is none."""
        pause_s = self._pauses_s[tries] if tries < len(self._pauses_s) else None
        if isinstance(error, Refused):
            if (final := self._final(error, content.name, content.total_bytes)) is not None:
                raise final from error
            if pause_s is None or error.after_s > LONGEST_AFTER_S:
                raise self._not_now(error, progressed) from error
            pause_s = 0.0 if error.status in _AT_ONCE else max(pause_s, error.after_s)
        if pause_s is None:
            raise Unreachable(f"{self.name}: {error}", progressed=progressed) from error
        if self._stop.wait(pause_s):
            raise Halted

    def _not_now(self, error: Refused, progressed: bool = False) -> Unreachable:
        return Unreachable(f"{self.name} cannot take it now ({error.status}{self._said(error)})",
                           progressed=progressed)

    def _final(self, error: Refused, what: str, total_bytes: int = 0) -> JobRefused | None:
        """What an answer comes to that another try would not change; None when it would."""
        status = error.status
        if status in _LATER or status in _AT_ONCE:
            return None
        if status in _KEY_WRONG:
            whence = "api_key" if self._config.api_key_file is None else self._config.api_key_file
            return JobRefused(f"{self.name} refuses the key ({status}{self._said(error)}); put a "
                              f"valid one into {whence}, then `fieldrec retry`")
        if status in _TOO_LARGE:
            return JobRefused(f"{self.name} has no room for {what}, {_size(total_bytes)} "
                              f"({status}{self._said(error)})")
        if 300 <= status < 400:
            return JobRefused(f"{self.name} is elsewhere now: {printable(error.elsewhere, 120)}; "
                              "put its address into `url`")
        return JobRefused(f"{self.name} does not take uploads at {self._config.url} "
                          f"({status}{self._said(error)}); is the url right?")

    def _said(self, error: Refused) -> str:
        """The server's own words, cleaned; never the key, which it may have repeated."""
        words = printable(" ".join(error.text.replace(self._key, "***").split()), 80)
        return f": {words}" if words and not words.startswith("<") else ""


class _Run:
    """One try at an upload, from where it stands to its end."""

    def __init__(self, tus: Tus, content: Content, location: str | None, part_bytes: int,
                 on_begun: Callable[[str], None], on_progress: OnProgress) -> None:
        self.location = location
        self.offset = 0
        """What the server has, by its word."""
        self._tus = tus
        self._content = content
        self._part_bytes = part_bytes
        self._on_begun = on_begun
        self._on_progress = on_progress
        self._asking = False

    def go(self, offer: Offer) -> None:
        """All of it."""
        total = self._content.total_bytes
        standing = self._stand(offer)
        self.offset = standing.offset
        self._on_progress(self.offset)
        with contextlib.closing(_parts(self._content, self.offset, self._part_bytes)) as parts:
            for data in parts:
                self._send(data, offer.checksum)
        if standing.length is None:
            self._tus.send(self._path, total, memoryview(b""), length=total)
        try:
            ended = self._tus.standing(self._path)
        except Refused as error:
            if error.status in _LATER:
                raise
            return  # it has taken all, and has put it away to where it works on it
        if (ended.offset, ended.length) != (total, total):
            raise DestinationError(f"the server has {ended.offset} of {total} bytes of "
                                   f"{self._content.name} though it took them all")

    def is_gone(self, error: Refused) -> bool:
        """Whether the server has forgotten the upload, or says of it what cannot be."""
        return self.location is not None and (
            error.status in _GONE or (self._asking and error.status in (200, 204, 403)))

    @property
    def _path(self) -> str:
        return self.location or ""

    def _stand(self, offer: Offer) -> Standing:
        """Where it stands; begun where there is none, or one that cannot be this one's."""
        total = self._content.total_bytes
        if self.location is not None:
            self._asking = True
            standing = self._tus.standing(self.location)
            self._asking = False
            if standing.offset <= total and standing.length in (None, total):
                return standing
        deferred = self._content.deferred and offer.has("creation-defer-length", unsaid=True)
        self.location = self._tus.create(self._content.name, None if deferred else total)
        self._on_begun(self.location)
        return Standing(0, None if deferred else total)

    def _send(self, data: memoryview, checksum: str | None) -> None:
        """A part; a server may take less of it than it was given."""
        while data:
            sent = self.offset

            def on_sent(count: int) -> None:
                nonlocal sent
                sent += count
                self._on_progress(sent)

            after = self._tus.send(self._path, self.offset, data, checksum=checksum,
                                   on_sent=on_sent)
            if after == self.offset:
                raise Unreachable("the server takes nothing")
            data = data[after - self.offset:]
            self.offset = after


def _parts(content: Content, begin: int, part_bytes: int
           ) -> Generator[memoryview, None, None]:
    """The content in parts of one size, the last one smaller; valid until the next one."""
    part = bytearray(part_bytes)
    filled = 0
    for data in content.slices(begin):
        left = memoryview(data)
        while left:
            taken = left[:part_bytes - filled]
            part[filled:filled + len(taken)] = taken
            filled += len(taken)
            left = left[len(taken):]
            if filled == part_bytes:
                yield memoryview(part)
                filled = 0
    if filled:
        yield memoryview(part)[:filled]


def _room(offer: Offer) -> int | None:
    """What the account has left; None where the server does not say, or says that it is endless."""
    try:
        room = float(offer.headers.get(SPACE, "inf"))
        return max(int(room), 0)
    except (ValueError, OverflowError):
        return None


def _key_of(name: str, config: LoopyConfig) -> str:
    """The key; JobRefused when its file cannot be used, or others may read it."""
    if config.api_key is not None:
        return config.api_key.get_secret_value()
    path = config.api_key_file or Path()
    try:
        text = _read_private(path)
    except OSError as error:
        raise JobRefused(f"{name}: the key in {path} cannot be read: {error.strerror}") from error
    try:
        return check_key(text.decode("ascii").strip())
    except ValueError:  # not chained: the error could show what is in the file
        raise JobRefused(f"{name}: {path} holds no key: one word, nothing else") from None


def _read_private(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise JobRefused(f"{path} is not a file; it must hold the key alone")
        if status.st_mode & 0o077 or status.st_uid not in (0, os.geteuid()):
            raise JobRefused(f"{path} may be read by others; `chmod 600 {path}`, and let it belong "
                             "to the user that fieldrec runs as")
        return os.read(descriptor, _KEY_FILE_BYTES)
    finally:
        os.close(descriptor)


def _size(count_bytes: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count_bytes >= scale:
            return f"{count_bytes / scale:.1f} {unit}"
    return f"{count_bytes} B"
