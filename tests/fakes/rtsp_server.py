"""A real RTSP server: GStreamer's, in a process of Debian's own Python, which has its bindings.

To be run by /usr/bin/python3 with a folder and two ports as arguments, 0 for any (nothing of
fieldrec is imported there). It serves each Matroska file in it, h264….mkv and mjpeg….mkv, as
rtsp://127.0.0.1:PORT/NAME, to everyone who comes from its beginning and in its own time; at the
second port only to who knows the password. Prints both ports, and ends when its input does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

USER, PASSWORD = "anna", "p@ss:w/rd ä"
_PAYLOADS = {"h264": "h264parse ! rtph264pay config-interval=-1", "mjpeg": "jpegparse ! rtpjpegpay"}


def main(folder: Path, ports: list[str]) -> None:
    """Serve until the input ends."""
    import gi  # type: ignore[import-not-found,unused-ignore]

    for name in ("Gst", "GstRtspServer", "GstRtsp"):
        gi.require_version(name, "1.0")
    from gi.repository import (  # type: ignore[import-not-found,unused-ignore]
        GLib,
        Gst,
        GstRtsp,
        GstRtspServer,
    )

    Gst.init(None)
    open_server, closed_server = (_server(GstRtspServer, Gst, folder, port)
                                  for port in ports)
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth.add_digest(USER, PASSWORD, token)
    closed_server.set_auth(auth)
    for server in (open_server, closed_server):
        server.attach(None)
    print(open_server.get_bound_port(), closed_server.get_bound_port(), flush=True)
    loop = GLib.MainLoop()
    GLib.unix_fd_add_full(0, sys.stdin.fileno(), GLib.IOCondition.HUP | GLib.IOCondition.IN,
                          lambda *_: loop.quit())
    loop.run()


def _server(rtsp: Any, gst: Any, folder: Path, port: str) -> Any:
    server = rtsp.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    for path in folder.glob("*.mkv"):
        factory = rtsp.RTSPMediaFactory()
        payload = next(text for name, text in _PAYLOADS.items() if path.name.startswith(name))
        factory.set_launch(f"( filesrc location={path} ! matroskademux ! {payload} name=pay0 )")
        factory.connect("media-configure", lambda _, media: media.connect("prepared", _report_soon))
        factory.add_role_from_structure(gst.Structure.from_string(
            "user, media.factory.access=(boolean)true, media.factory.construct=(boolean)true")[0])
        server.get_mount_points().add_factory(f"/{path.stem}", factory)
    return server


def _report_soon(media: Any) -> None:
    """Sender reports ten times a second: cameras take seconds for the first."""
    for number in range(media.n_streams()):
        media.get_stream(number).get_rtpsession().set_property("rtcp-min-interval", 100_000_000)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
