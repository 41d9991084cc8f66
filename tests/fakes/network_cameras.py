"""Network cameras on loopback: a process with an RTSP server, and an HTTP server of MJPEG that does
as it is told. Their pictures are the synthetic camera's, with the number burnt in."""

from __future__ import annotations

import atexit
import contextlib
import functools
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.fakes import rtsp_server
from tests.fakes.coded_streams import write_stream

DEBIAN_PYTHON = Path("/usr/bin/python3")
_ELEMENTS = ("rtph264pay", "rtpjpegpay", "h264parse", "jpegparse", "matroskademux")
HTTP_BOUNDARY = "fieldrec"


@functools.cache
def no_rtsp() -> str:
    """Why there can be no RTSP server here; "" when there can."""
    code = ("import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', "
            "'1.0'); from gi.repository import Gst, GstRtspServer; Gst.init(None); "
            f"raise SystemExit(not all(Gst.ElementFactory.find(n) for n in {_ELEMENTS!r}))")
    if not DEBIAN_PYTHON.exists() or subprocess.run(
            [DEBIAN_PYTHON, "-c", code], capture_output=True, check=False).returncode:
        return "no GStreamer RTSP server here: apt install gir1.2-gst-rtsp-server-1.0"
    return ""


@functools.cache
def streams() -> Path:
    """A folder of streams, made once: see :data:`STREAMS`."""
    folder = tempfile.TemporaryDirectory(prefix="fieldrec-streams-")
    atexit.register(folder.cleanup)
    root = Path(folder.name)
    write_stream(root / "h264.mkv", "h264", frames=1000, hz=50)
    write_stream(root / "mjpeg-slow.mkv", "mjpeg", frames=20, hz=1)
    write_stream(root / "h264-short.mkv", "h264", frames=60, hz=50)
    write_stream(root / "h264-b.mkv", "h264", frames=200, hz=50, params="bframes=2:b-adapt=0")
    write_stream(root / "mjpeg.mkv", "mjpeg", frames=300, hz=50)
    return root


class RtspServer:
    """One server process."""

    def __init__(self, port: int = 0, closed_port: int = 0) -> None:
        """Start it; blocks until it listens. 0: at any free port."""
        self._process = subprocess.Popen(
            [DEBIAN_PYTHON, rtsp_server.__file__, streams(), str(port),
             str(closed_port)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        self.port, self.closed_port = map(int, self._process.stdout.readline().split())

    def url(self, name: str) -> str:
        """Of a stream for everyone."""
        return f"rtsp://127.0.0.1:{self.port}/{name}"

    def closed_url(self, name: str) -> str:
        """Of the same for who knows the password."""
        return f"rtsp://127.0.0.1:{self.closed_port}/{name}"

    def signal(self, number: int) -> None:
        """Stop it, have it go on, kill it."""
        self._process.send_signal(number)

    def close(self) -> None:
        """End it. Idempotent."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@functools.cache
def shared_rtsp() -> RtspServer:
    """One server for all tests of this process that do not stop it."""
    server = RtspServer()
    atexit.register(server.close)
    return server


def rtsp_url(name: str) -> str:
    """Of a stream of the shared server; of nobody where there can be none."""
    return "rtsp://127.0.0.1:1/nobody" if no_rtsp() else shared_rtsp().url(name)


def part(picture: bytes, *, told_bytes: int | None = None, length: bool = True,
         boundary: str = HTTP_BOUNDARY) -> bytes:
    """One part of an MJPEG stream. `told_bytes`: its length as the head says it, where that is
    another; without `length` it says none."""
    size = len(picture) if told_bytes is None else told_bytes
    told = f"Content-Length: {size}\r\n" if length else ""
    head = f"--{boundary}\r\nContent-Type: image/jpeg\r\n{told}\r\n"
    return head.encode() + picture + b"\r\n"


class MjpegServer:
    """Serves, to each that connects, what `parts` gives for the n-th of them, at `hz`."""

    def __init__(self, parts: Callable[[int], Iterable[bytes]], *, hz: float = 50,
                 status: str = "200 OK", head: str = "") -> None:
        self._parts = parts
        self._hz = hz
        self._status = status
        self._head = head or f"Content-Type: multipart/x-mixed-replace; boundary={HTTP_BOUNDARY}"
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.requests: list[str] = []
        """What was asked, head by head."""
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        """Of the stream."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/stream"

    def __enter__(self) -> MjpegServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(OSError):  # whoever reads may go away at any moment
                connection, _peer = self._listener.accept()
                with connection:
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        asked = b""
        while b"\r\n\r\n" not in asked:
            received = connection.recv(4096)
            if not received:
                return
            asked += received
        self.requests.append(asked.decode())
        connection.sendall(f"HTTP/1.1 {self._status}\r\n{self._head}\r\nConnection: close\r\n\r\n"
                           .encode())
        for data in self._parts(len(self.requests) - 1):
            connection.sendall(data)
            if self._closing.wait(1 / self._hz):
                return
