"""One connection to a network camera: opened, read by a thread of its own, closed.

FFmpeg's demuxer can only wait; so the thread ``net-<camera>`` does, and whoever wants a picture
waits for it with a timeout of their own. The thread reads from :meth:`Source.open` to
:meth:`Source.close`: a camera that is not read from would send old pictures later. While nobody
wants them, only the pictures since the last key picture are kept, from which decoding can begin.
A demuxer that blocks is interrupted after `stall_s`; then, or when the camera ends the connection,
the source has failed and stays so. PyAV is imported by the first open.
"""

from __future__ import annotations

import errno
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from fieldrec.camera.network_pictures import Picture, Pictures, Piece
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import CameraError, CameraLost, CameraTimeout

_MOST_HELD = 600
_MOST_HELD_BYTES = 64 << 20
"""Pictures that wait for the capture thread; more are thrown away up to the next key picture."""
_MOST_DAMAGED = 100
"""Parts of an HTTP stream in a row that cannot be made out; then the connection is given up."""
_RATE_PICTURES, _RATE_S = 8, 2.0
"""By so many pictures, or for so long, the rate of a stream that does not tell it is measured."""
_LIVE_S = 2.0
"""So long at most the opening waits until pictures come in their own time."""
_WAITED_PERIODS, _UNKNOWN_HZ = 0.25, 50.0
"""A picture for which that part of a period was waited did not lie ready."""
_MOST_HZ = 500.0
"""A stream that claims more tells its time base, not its rate."""
_HELD_BACK = ("h264", "hevc")
"""Codings whose pictures FFmpeg hands out when the next one begins to arrive."""
_BROKEN_OFF = (errno.EIO, errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ENETUNREACH,
               errno.EHOSTUNREACH)
_WALL_CLOCK = struct.Struct("=q")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a stream is and how to get it."""

    url: str
    """With user and password: never shown."""
    shown: str
    """The same for people."""
    transport: str
    open_timeout_s: float
    stall_s: float

    @property
    def is_rtsp(self) -> bool:
        """Whether the stream comes in packets with times, not over HTTP."""
        return self.url.startswith("rtsp")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a stream tells of itself."""

    codec: str
    """FFmpeg's name."""
    width: int
    height: int
    hz: float | None
    """None where it does not say."""
    extradata: bytes


class Source:
    """A connection. `open`, `close` and the rest are called by one thread at a time."""

    def __init__(self, name: str, address: Address) -> None:
        self._name = name
        self._address = address
        self._clock = SystemClock()
        self._container: Any = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._changed = threading.Condition()
        self._held: deque[Picture] = deque()
        self._held_bytes = 0
        self._arrivals: deque[int] = deque(maxlen=_RATE_PICTURES)
        self._wanted = False
        self._live = False
        """Whether what was read while the stream was opened has been handed out."""
        self._failure: CameraError | None = None

    def open(self) -> Facts:
        """Connect, and read what the stream says of itself. CameraError in one line."""
        import av

        address = self._address
        self._closing, self._wanted, self._live, self._failure = False, False, False, None
        self._clear()
        try:
            self._container = av.open(
                address.url, timeout=(address.open_timeout_s, address.stall_s),
                options=_options(address), buffer_size=65_536)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise CameraError(f"{address.shown}: {_why_not_opened(error, address)}") from None
        try:
            facts = self._facts()
            self._pictures = Pictures(facts.codec, (facts.width, facts.height), facts.extradata)
        except CameraError as error:
            self.close()
            raise CameraError(f"{address.shown}: {error}") from None
        self._thread = threading.Thread(target=self._read, args=(facts,),
                                        name=f"net-{self._name}", daemon=True)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._live or self._failure is not None, _LIVE_S)
        return facts

    def measured_hz(self) -> float | None:
        """The rate at which pictures come now; blocks for some of them, two seconds at most. None
        when too few come."""
        with self._changed:
            self._arrivals.clear()
            self._changed.wait_for(lambda: len(self._arrivals) == _RATE_PICTURES
                                   or self._failure is not None, _RATE_S)
            times = list(self._arrivals)
        if len(times) < 3 or times[-1] <= times[0]:
            return None
        hz = (len(times) - 1) * 1e9 / (times[-1] - times[0])
        return float(round(hz)) if hz >= 2 else round(hz, 2)

    def want(self) -> None:
        """From now on keep every picture. CameraLost when the connection has failed already."""
        with self._changed:
            if self._failure is not None:
                raise self._failure
            self._wanted = True

    def want_no_more(self) -> None:
        """Keep only what decoding can begin with."""
        with self._changed:
            self._wanted = False
            self._held.clear()
            self._held_bytes = 0

    def next(self, until_s: float) -> Picture:
        """The next picture. CameraTimeout at `until_s` of time.monotonic; CameraLost or CameraError
        when all that came has been handed out and no more will come."""
        with self._changed:
            while not self._held:
                if self._failure is not None:
                    raise self._failure
                if not self._changed.wait(max(0.0, until_s - time.monotonic())) and not self._held:
                    raise CameraTimeout(f"{self._address.shown}: no picture in time")
            picture = self._held.popleft()
            self._held_bytes -= len(picture.data)
            return picture

    def close(self) -> None:
        """Disconnect; blocks until the thread has ended: for a picture, or for `stall_s` when none
        comes any more. Idempotent."""
        self._closing = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._container is not None:
            self._container.close()
            self._container = None
        self._clear()

    def _clear(self) -> None:
        self._held.clear()
        self._held_bytes = 0

    def _facts(self) -> Facts:
        stream = next(iter(self._container.streams.video), None)
        if stream is None:
            raise CameraError("there is no video in it; check the address")
        context = stream.codec_context
        if context is None or not context.width or not context.height:
            raise CameraError("no picture came while it was opened; check the camera, or use "
                              "`transport: tcp`")
        hz = float(stream.average_rate or stream.guessed_rate or 0)
        known = self._address.is_rtsp and 0 < hz <= _MOST_HZ
        return Facts(context.codec.canonical_name if hasattr(context.codec, "canonical_name")
                     else context.name, context.width, context.height, hz if known else None,
                     bytes(context.extradata or b""))

    # --- thread --------------------------------------------------------------------------------

    def _read(self, facts: Facts) -> None:
        import av

        shown = self._address.shown
        failure: CameraError
        try:
            self._read_until_closed(facts)
            failure = CameraLost(f"{shown}: the camera ended the connection")
        except CameraLost as error:
            failure = error
        except CameraError as error:
            failure = CameraError(f"{shown}: {error}")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            failure = CameraLost(f"{shown}: {_reason(error)}")
        with self._changed:
            self._failure = failure
            self._changed.notify_all()

    def _read_until_closed(self, facts: Facts) -> None:
        late = self._address.is_rtsp and facts.codec in _HELD_BACK
        waited_ns = _WAITED_PERIODS * 1e9 / (facts.hz or _UNKNOWN_HZ)
        packets, reported = self._packets(), False
        base = self._container.streams.video[0].time_base
        tick = ((base.numerator * 1_000_000_000, base.denominator)
                if self._address.is_rtsp else None)
        before_ns = self._clock.monotonic_ns()
        while not self._closing:
            try:
                packet = next(packets)
            except StopIteration:
                return
            now_ns = self._clock.monotonic_ns()
            if not self._live and now_ns - before_ns > waited_ns:
                self._is_live()
            if packet.size:
                piece = _piece(packet, tick, before_ns if late else now_ns)
                # The first time that FFmpeg tells belongs to the next picture.
                self._add(piece if reported else replace(piece, device_time_ns=None))
                reported = piece.device_time_ns is not None
            if now_ns - before_ns > self._address.stall_s * 1e9:
                # Interrupted: what came was the last that FFmpeg held back.
                raise CameraLost(self._silent())
            before_ns = now_ns

    def _is_live(self) -> None:
        """That picture had to be waited for: those before were read by the opening."""
        with self._changed:
            self._live = True
            self._changed.notify_all()

    def _packets(self) -> Iterator[Any]:
        """The packets to the stream's end, past what cannot be made out. Each blocks for up to
        `stall_s`. CameraLost."""
        import av

        damaged = 0
        while damaged < _MOST_DAMAGED:
            try:
                for packet in self._container.demux(video=0):
                    damaged = 0
                    yield packet
                return
            except (av.error.ExitError, av.error.TimeoutError):
                raise CameraLost(self._silent()) from None
            except av.error.InvalidDataError:
                damaged += 1
                self._pictures.leave_out()
        raise CameraLost(f"{self._address.shown}: what comes is no video any more")

    def _silent(self) -> str:
        address = self._address
        return (f"{address.shown}: nothing came for {address.stall_s:g} s; check the camera and "
                "its network")

    def _add(self, piece: Piece) -> None:
        picture = self._pictures.add(piece)
        if picture is None:
            return
        with self._changed:
            if picture.key and not self._wanted:
                self._clear()
            if len(self._held) >= _MOST_HELD or self._held_bytes > _MOST_HELD_BYTES:
                self._clear()
            self._held.append(picture)
            self._held_bytes += len(picture.data)
            self._arrivals.append(picture.arrived_ns)
            self._changed.notify_all()


def _options(address: Address) -> dict[str, str]:
    """The demuxer's: little probing."""
    stall_us = str(round(address.stall_s * 1e6))
    common = {"analyzeduration": "2000000", "fpsprobesize": "0"}
    if address.is_rtsp:
        return {**common, "rtsp_transport": address.transport, "timeout": stall_us,
                "allowed_media_types": "video"}
    return {**common, "rw_timeout": stall_us, "protocol_whitelist": "http,https,tcp,tls,httpproxy"}


def _piece(packet: Any, tick: tuple[int, int] | None, arrived_ns: int) -> Piece:
    """`tick`: the stream's time base, as nanoseconds and what divides them; None where FFmpeg makes
    the times up."""
    stamp, device_ns = packet.pts, None
    if packet.has_sidedata("prft"):
        told = bytes(packet.get_sidedata("prft"))
        if len(told) >= _WALL_CLOCK.size:
            device_ns = _WALL_CLOCK.unpack_from(told)[0] * 1000
    return Piece(bytes(packet), bool(packet.is_keyframe), arrived_ns,
                 None if stamp is None or tick is None else stamp * tick[0] // tick[1], device_ns)


def _why_not_opened(error: Exception, address: Address) -> str:
    """In words, and what to do; never the address as FFmpeg has it."""
    import av

    known: tuple[tuple[type[Exception], str], ...] = (
        (av.error.HTTPUnauthorizedError, "the camera wants a user and a password, or others than "
                                         "those given; set `user` and `password`"),
        (av.error.HTTPForbiddenError, "this user may not see the stream; give it the rights in the "
                                      "camera"),
        (av.error.HTTPNotFoundError, "the camera has no such stream; check the path of the "
                                     "address"),
        (av.error.HTTPError, "the camera refuses; check the address and its settings"),
        (av.error.ConnectionRefusedError, "nobody answers at that port; check host and port, and "
                                          "whether the camera is on"),
        ((av.error.ExitError), _no_answer(address)),
        ((av.error.TimeoutError), _no_answer(address)),
        (av.error.ProtocolNotFoundError, "addresses of this kind cannot be opened; use rtsp:// or "
                                         "http://"),
        (av.error.InvalidDataError, "what comes is no video; check the address"),
    )
    for kind, text in known:
        if isinstance(error, kind):
            return text
    if isinstance(error, OSError) and error.errno == errno.EIO:
        return ("cannot be reached, or what it sends is no video; check the host's name, the path, "
                "the cable and the network")
    return f"cannot be opened ({_reason(error)}); check the address, the camera and the network"


def _no_answer(address: Address) -> str:
    hint = "" if address.transport == "tcp" else ", or use `transport: tcp`"
    return (f"no answer within {address.open_timeout_s:g} s; check the camera and its "
            f"network{hint}")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in _BROKEN_OFF:
        return "the connection broke off; check the camera and its network"
    return str(getattr(error, "strerror", None) or type(error).__name__)
