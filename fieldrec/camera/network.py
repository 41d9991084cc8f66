"""Network cameras: RTSP (H.264, MJPEG) and HTTP MJPEG, through FFmpeg (PyAV); Axis by host name.

A thread of its own reads from the network while the camera is open (network_source.py); decoding
runs in the caller's thread. With ``store: packets`` nothing is decoded: the camera's own H.264 or
MJPEG goes into a video store as it is, for little of the processor time and of the disk's room.

Frame numbers: network_numbers.py says where from; what was lost on the way, or came damaged, is a
gap. `monotonic_ns` is when a picture's first bytes came, as near as FFmpeg lets it be seen (H.264
is handed out when the next picture begins: a frame is given out one period after it came, with the
time at which it came). `device_time_ns` is the wall clock of the camera, from the sender reports of
RTSP: None before the first report (which a camera sends within its first seconds), and over HTTP.
A camera of which nothing comes for `stall_s`, or that ends the connection, is lost; opening it
again connects again.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import numpy as np
from pydantic import Field, SecretStr, model_validator

from fieldrec.camera import CameraOptions, Pixels
from fieldrec.camera.network_pictures import Picture
from fieldrec.camera.network_source import Address, Facts, Source
from fieldrec.camera.vapix import axis_url
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import CameraError
from fieldrec.core.model import FrameHeader, FrameSpec

if TYPE_CHECKING:
    from fieldrec.camera.network_decoder import Decoder

_DEFAULT_HZ = 25.0
_PACKETS = {"h264": "H264", "mjpeg": "MJPEG"}
_SCHEMES = ("rtsp", "rtsps", "http", "https")


class Options(CameraOptions):
    """Keys of a network camera: `url`, or `axis` and what is asked of it."""

    url: str = ""
    """rtsp://…, rtsps://…, or http(s)://… of an MJPEG stream. User and password may be in it; they
    are better given below."""
    axis: str = ""
    """Host name or address of an Axis camera, in place of `url`."""
    codec: Literal["h264", "mjpeg"] = "h264"
    """Asked of an Axis camera."""
    resolution: str | None = Field(default=None, pattern=r"^[1-9]\d{1,4}x[1-9]\d{1,4}$")
    """Asked of an Axis camera, as 1280x720. Default: as it is set."""
    camera: int = Field(default=1, ge=1)
    """Which camera of an Axis device."""
    hz: float | None = Field(default=None, gt=0, le=500)
    """Frames per second: asked of an Axis camera; of others, what to expect where the stream does
    not say it."""
    user: str = ""
    password: SecretStr = SecretStr("")
    password_file: Path | None = None
    """A file with the password in its first line, so that no configuration has it."""
    transport: Literal["tcp", "udp", "http"] = "tcp"
    """Of RTSP. UDP loses packets on a busy network; http: an Axis camera's MJPEG without RTSP."""
    store: Literal["frames", "packets"] = "frames"
    """frames: decoded and stored raw. packets: the camera's own H.264 or MJPEG, as it is."""
    pixel_format: Literal["MONO8", "BGR8"] = "BGR8"
    """Of frames. MONO8 is the luma as the camera coded it (mostly 16 to 235), without any
    conversion."""
    open_timeout_s: float = Field(default=10.0, gt=0, le=120)
    stall_s: float = Field(default=5.0, gt=0, le=600)
    """Nothing from the camera for so long: it is lost. Longer than the time between two frames."""

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if bool(self.url) == bool(self.axis):
            raise ValueError("give either url or axis")
        if self.url and not _is_stream(self.url):
            raise ValueError("url must begin with rtsp://, rtsps://, http:// or https:// and name "
                             "a host")
        if self.transport == "http" and (not self.axis or self.codec != "mjpeg"):
            raise ValueError("transport http is for axis with codec mjpeg; give the http:// url")
        return self


class NetworkCamera:
    """See :class:`fieldrec.camera.Camera`."""

    def __init__(self, serial: str, options: Options) -> None:
        self.serial = serial
        self.options = options
        self._source: Source | None = None
        self._facts: Facts | None = None
        self._decoder: Decoder | None = None
        self._running = False
        self._started_ns = 0
        """What arrived before is only decoded."""
        self._needs_key = True
        self._decoded: list[tuple[Any, Picture]] = []

    def open(self) -> FrameSpec:
        """Connect; takes as long as the camera needs to send some pictures."""
        self.close()
        source = Source(self.serial, address(self.options))
        facts = source.open()
        self._source, self._facts = source, facts
        try:
            hz = self.options.hz or facts.hz or source.measured_hz() or _DEFAULT_HZ
            return self._spec(facts, hz)
        except CameraError as error:
            self.close()
            raise CameraError(f"{self._name()}: {error}") from None

    def start(self) -> None:
        """The first frame is one that comes from now on; packets begin at the next key picture."""
        if self._source is None or self._facts is None:
            raise CameraError(f"{self._name()}: start before open")
        self.stop()
        if self.options.store == "packets":
            self._source.want_no_more()
        else:
            from fieldrec.camera.network_decoder import Decoder

            self._decoder = Decoder(self._facts.codec, self._facts.extradata)
        self._source.want()
        self._started_ns = SystemClock().monotonic_ns()
        self._needs_key = True
        self._running = True

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        """As in the protocol; a packet lies in the first bytes of `into`."""
        source = self._source
        if source is None or not self._running:
            raise CameraError(f"{self._name()}: grab before start")
        until_s = time.monotonic() + timeout_s
        if self._decoder is None:
            return self._packet(source, into, until_s)
        while not self._decoded:
            self._decoded = self._decode(self._decoder, source.next(until_s))
        frame, picture = self._decoded.pop(0)
        try:
            self._decoder.put(frame, into)
        except CameraError as error:
            raise CameraError(f"{self._name()}: {error}") from None
        return FrameHeader(picture.number, picture.arrived_ns, picture.device_time_ns)

    def stop(self) -> None:
        self._running = False
        self._decoded.clear()
        self._decoder = None

    def close(self) -> None:
        """Blocks for up to `stall_s` when the camera is silent."""
        self.stop()
        if self._source is not None:
            self._source.close()
            self._source = None

    def _name(self) -> str:
        return shown(self.options)

    def _spec(self, facts: Facts, hz: float) -> FrameSpec:
        shape: tuple[int, ...] = (facts.height, facts.width)
        options = self.options
        if options.store == "packets":
            if facts.codec not in _PACKETS:
                raise CameraError(f"packets of {facts.codec} cannot be recorded; set the camera to "
                                  "H.264 or MJPEG, or use `store: frames`")
            if facts.height % 2 or facts.width % 2:
                raise CameraError(f"packets of {facts.width}x{facts.height} cannot be recorded: a "
                                  "video has an even width and height; set another resolution, or "
                                  "use `store: frames`")
            return FrameSpec((*shape, 3), "uint8", _PACKETS[facts.codec], hz)
        if options.pixel_format == "BGR8":
            shape = (*shape, 3)
        return FrameSpec(shape, "uint8", options.pixel_format, hz)

    def _packet(self, source: Source, into: Pixels, until_s: float) -> FrameHeader:
        """A packet that does not fit the slot is left out: a gap in the numbers."""
        slot = into.reshape(-1)
        while True:
            picture = source.next(until_s)
            size = len(picture.data)
            self._needs_key = self._needs_key and not picture.key
            if self._needs_key or size > len(slot):
                continue
            if picture.bidirectional:
                raise CameraError(f"{self._name()}: it sends B-frames, whose order of showing is "
                                  "not that of sending; switch them off on the camera (profile "
                                  "baseline, or no B-frames), or use `store: frames`")
            slot[:size] = np.frombuffer(picture.data, np.uint8)
            return FrameHeader(picture.number, picture.arrived_ns, picture.device_time_ns,
                               packet_bytes=size, key=picture.key)

    def _decode(self, decoder: Decoder, picture: Picture) -> list[tuple[Any, Picture]]:
        """What comes out, without what came before the start."""
        return [(frame, known) for frame, known in decoder.decode(picture)
                if known.arrived_ns >= self._started_ns]


def address(options: Options) -> Address:
    """Where the stream is, with user and password in it. CameraError when the file with the
    password cannot be read."""
    parts = urlsplit(_url(options))
    place = parts.netloc.rpartition("@")[2]
    user = options.user or unquote(parts.username or "")
    password = options.password.get_secret_value() or unquote(parts.password or "")
    if options.password_file is not None:
        password = _first_line(options.password_file)
    if user:
        place = f"{quote(user, safe='')}:{quote(password, safe='')}@{place}"
    return Address(urlunsplit(parts._replace(netloc=place)), shown(options), options.transport,
                   options.open_timeout_s, options.stall_s)


def shown(options: Options) -> str:
    """The same for people: without user and password, nor what may be in the query."""
    parts = urlsplit(_url(options))
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _url(options: Options) -> str:
    return options.url or axis_url(
        options.axis, codec=options.codec, resolution=options.resolution, hz=options.hz,
        camera=options.camera, transport=options.transport)


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CameraError(f"{path}: the password cannot be read "
                          f"({getattr(error, 'strerror', None) or 'not text'}); `password_file` "
                          "names a file with the password in its first line") from None


def _is_stream(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets, a port that is none
        return False


BACKEND = NetworkCamera
