"""HTTP calls that end: when told to stop, and when the other side has done nothing for too long.

Blocking; the thread of whoever uploads. One connection, kept open between calls. Every wait is a
short one, after which the stop flag and the time are looked at; what lies unsent in the kernel
counts as moving while it gets less, an answer that comes in byte by byte does not. TLS by the
system's trust store. Redirections are not followed: the key would go wherever a server says.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import io
import os
import queue
import select
import socket
import ssl
import struct
import termios
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from fieldrec.core.clock import Clock
from fieldrec.core.errors import DestinationAway, DestinationError, Unreachable

POLL_S = 0.25
"""Between two looks at the stop flag."""
SLICE_BYTES = 64 * 1024
"""What is handed to the kernel at once: progress is told after each."""
ANSWER_BYTES = 64 * 1024
"""Of an answer's body that are read."""

_NOT_NOW = (9, 10)
"""OpenSSL's numbers for a certificate that is not valid yet, or no longer."""
_BROKE_OFF = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)

OnSent = Callable[[int], None]


class Halted(Exception):
    """The stop flag was set while a call was under way."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    """By names in lower case."""
    text: str
    """The beginning of the body, a stranger's words."""


class Caller:
    """Calls to one server. Made and used in one thread."""

    def __init__(self, url: str, *, stop: threading.Event, limit_s: float, clock: Clock) -> None:
        """`limit_s`: how long a server may take and say nothing."""
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._patience = _Patience(stop, limit_s, clock)
        self._line: _Line | None = None
        self._connection: http.client.HTTPConnection | None = None

    def call(self, method: str, path: str, headers: Mapping[str, str],
             body: bytes | memoryview = b"", on_sent: OnSent = lambda _count: None) -> Answer:
        """One request and its answer, whatever its status. `on_sent` hears how many bytes of the
        body have been handed over. Halted; Unreachable; DestinationAway for a certificate that is
        not accepted (a guest network's own page is met so too, and a clock that is not set yet);
        DestinationError for what is no HTTP."""
        try:
            return self._call(method, path, headers, memoryview(body), on_sent)
        except ssl.SSLCertVerificationError as error:
            doubt = "this computer's clock" if error.verify_code in _NOT_NOW else "the url"
            raise DestinationAway(f"the certificate of {self._host} is not accepted "
                                  f"({error.verify_message}); is {doubt} right?") from error
        except (http.client.RemoteDisconnected, http.client.IncompleteRead) as error:
            raise Unreachable(f"{self._host} broke off") from error
        except http.client.HTTPException as error:
            raise DestinationError(f"{self._host} does not answer as a web server does "
                                   f"({type(error).__name__})") from error
        except OSError as error:
            raise Unreachable(f"{self._host} {_in_words(error)}") from error

    def close(self) -> None:
        """Hang up. Idempotent."""
        if self._line is not None:
            self._line.hang_up()
        self._line = self._connection = None

    def _call(self, method: str, path: str, headers: Mapping[str, str], body: memoryview,
              on_sent: OnSent) -> Answer:
        ended_well = False
        try:
            line = self._connected()
            line.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                line.putheader(name, value)
            if body or method in ("POST", "PATCH"):
                line.putheader("Content-Length", str(len(body)))
            self._send(line, body, on_sent)
            with contextlib.closing(line.getresponse()) as response:
                text = response.read(ANSWER_BYTES).decode("utf-8", "replace")
                answer = Answer(response.status, {name.lower(): value for name, value
                                                  in response.getheaders()}, text)
                ended_well = response.isclosed() and not response.will_close
            return answer
        finally:
            if not ended_well:  # the next answer on it would not be the next call's
                self.close()

    def _send(self, line: http.client.HTTPConnection, body: memoryview, on_sent: OnSent) -> None:
        """A server that refuses answers before it has all, and hangs up: its answer counts."""
        try:
            line.endheaders()
            for begin in range(0, len(body), SLICE_BYTES):
                data = body[begin:begin + SLICE_BYTES]
                line.send(data)
                on_sent(len(data))
        except _BROKE_OFF:
            if not cast(_Line, line.sock).has_something():
                raise

    def _connected(self) -> http.client.HTTPConnection:
        """The connection, a new one where the old one has ended."""
        if self._line is not None and self._line.has_something():
            self.close()  # nothing was asked: it says that it hangs up
        if self._connection is None:
            self._line = _Line(self._open(), self._patience)
            self._connection = http.client.HTTPConnection(self._host, self._port)
            self._connection.default_port = 80 if self._tls is None else 443
            self._connection.sock = cast(socket.socket, self._line)
        return self._connection

    def _open(self) -> socket.socket:
        last: OSError | None = None
        for family, kind, protocol, _, address in self._addresses():
            plain = socket.socket(family, kind, protocol)
            try:
                self._connect(plain, address)
                return self._wrapped(plain)
            except OSError as error:
                plain.close()
                last = error
                if isinstance(error, ssl.SSLError):
                    break
            except BaseException:
                plain.close()
                raise
        raise last or OSError("has no address")

    def _addresses(self) -> list[Any]:
        """Of the host. What looks names up may hang for half a minute where a network is bad, and
        nothing breaks it off: its thread is left to itself when there is no time for it."""
        found: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                found.put(socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM))
            except (OSError, UnicodeError) as error:  # the second: no name can be like that
                found.put(error if isinstance(error, OSError) else socket.gaierror())

        threading.Thread(target=look_up, name=f"look up {self._host}", daemon=True).start()
        self._patience.moved()
        while True:
            try:
                answer = found.get(timeout=POLL_S)
            except queue.Empty:
                self._patience.look()
                continue
            if isinstance(answer, Exception):
                raise answer
            return answer

    def _connect(self, plain: socket.socket, address: Any) -> None:
        plain.settimeout(POLL_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._patience.moved()
        try:
            plain.connect(address)
        except TimeoutError:
            while not select.select([], [plain], [], POLL_S)[1]:
                self._patience.look()
            if error := plain.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, os.strerror(error)) from None

    def _wrapped(self, plain: socket.socket) -> socket.socket:
        """With TLS spoken on it, where that is to be."""
        if self._tls is None:
            return plain
        line = self._tls.wrap_socket(plain, server_hostname=self._host,
                                     do_handshake_on_connect=False)
        self._patience.moved()
        try:
            while True:
                try:
                    line.do_handshake()
                    return line
                except TimeoutError:
                    self._patience.look()
        except BaseException:
            line.close()
            raise


class _Patience:
    """How long is waited."""

    def __init__(self, stop: threading.Event, limit_s: float, clock: Clock) -> None:
        self._stop = stop
        self._limit_ns = round(limit_s * 1e9)
        self._clock = clock
        self._until_ns = 0

    def moved(self) -> None:
        """A wait begins, or something has moved: the time counts from now. Halted."""
        if self._stop.is_set():
            raise Halted
        self._until_ns = self._clock.monotonic_ns() + self._limit_ns

    def look(self) -> None:
        """Halted; TimeoutError when nothing has moved for too long."""
        if self._stop.is_set():
            raise Halted
        if self._clock.monotonic_ns() >= self._until_ns:
            raise TimeoutError


class _Line:
    """What http.client takes for its socket."""

    def __init__(self, line: socket.socket, patience: _Patience) -> None:
        self._line = line
        self._patience = patience

    def sendall(self, data: bytes | memoryview) -> None:
        """Hand it all to the kernel."""
        left = memoryview(data)
        self._patience.moved()
        while left:
            try:
                sent = self._line.send(left)
            except TimeoutError:
                self._patience.look()
            else:
                left = left[sent:]
                self._patience.moved()

    def receive(self, into: Any) -> int:
        """Wait for something; 0 at the end."""
        unsent = self._unsent()
        while True:
            self._patience.look()
            try:
                return self._line.recv_into(into)
            except TimeoutError:
                before, unsent = unsent, self._unsent()
                if unsent < before:
                    self._patience.moved()

    def has_something(self) -> bool:
        """Whether something, or the end, has come in."""
        return bool(select.select([self._line], [], [], 0)[0])

    def makefile(self, _mode: str) -> io.BufferedReader:
        """For one answer, all of which has to come within the time."""
        self._patience.moved()
        return io.BufferedReader(_Incoming(self))

    def close(self) -> None:
        """Nothing yet: http.client lets go of a line before it has read its last answer."""

    def hang_up(self) -> None:
        """Close it."""
        self._line.close()

    def _unsent(self) -> int:
        """Bytes that the other side has not acknowledged yet."""
        try:
            return int(struct.unpack("i", fcntl.ioctl(self._line, termios.TIOCOUTQ, bytes(4)))[0])
        except OSError:
            return 0


class _Incoming(io.RawIOBase):
    """The bytes of an answer; closing it leaves the line open."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._line.receive(buffer)


def _in_words(error: OSError) -> str:
    """What goes behind the host's name."""
    if isinstance(error, socket.gaierror):
        return "is not found; is there a network?"
    if isinstance(error, TimeoutError):
        return "does not answer"
    if isinstance(error, ConnectionRefusedError):
        return "refuses connections"
    if isinstance(error, _BROKE_OFF):
        return "broke off"
    if isinstance(error, ssl.SSLError):
        return f"speaks no TLS that can be understood ({error.reason or 'broke off'})"
    return f"cannot be reached: {error.strerror or error}"
