"""A web server that says exactly the bytes it is told to, for what no well-behaved one does."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable

Said = bytes | Callable[[], bytes]
"""Bytes, or what is called for them when it is their turn."""


class RawWeb:
    """On loopback, one connection at a time; each request gets the next of the answers, after the
    last one connections are closed. An answer that is a list is the last of its connection."""

    def __init__(self, *answers: Said | list[Said], tls: ssl.SSLContext | None = None) -> None:
        self._answers = list(answers)
        self._tls = tls
        self.requests: list[bytes] = []
        """The head of each."""
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="raw web")

    def __enter__(self) -> RawWeb:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with contextlib.closing(line), contextlib.suppress(OSError):
                if self._tls is not None:
                    line = self._tls.wrap_socket(line, server_side=True)
                with contextlib.closing(line):
                    while self._answer(line):
                        pass

    def _answer(self, line: socket.socket) -> bool:
        """Whether the connection goes on."""
        head = b""
        while b"\r\n\r\n" not in head:
            data = line.recv(65536)
            if not data:
                return False
            head += data
        self.requests.append(head.partition(b"\r\n\r\n")[0])
        if not self._answers:
            return False
        answer = self._answers.pop(0)
        parts: Iterable[Said] = answer if isinstance(answer, list) else [answer]
        for part in parts:
            line.sendall(part() if callable(part) else part)
        return not isinstance(answer, list)
