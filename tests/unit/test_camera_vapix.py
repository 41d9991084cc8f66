"""Addresses of Axis cameras."""

from __future__ import annotations

from fieldrec.camera.vapix import axis_url


def test_streams_by_what_is_asked() -> None:
    assert axis_url("cam-7", codec="h264", resolution="1280x720", hz=30.0, camera=2,
                    transport="tcp") == (
        "rtsp://cam-7/axis-media/media.amp?videocodec=h264&audio=0&camera=2"
        "&resolution=1280x720&fps=30")
    assert axis_url("10.0.0.9:8554", codec="mjpeg", resolution=None, hz=12.5, camera=1,
                    transport="udp") == (
        "rtsp://10.0.0.9:8554/axis-media/media.amp?videocodec=jpeg&audio=0&camera=1&fps=12.5")
    assert axis_url("cam-7", codec="mjpeg", resolution="640x360", hz=None, camera=1,
                    transport="http") == (
        "http://cam-7/axis-cgi/mjpg/video.cgi?camera=1&resolution=640x360")
