"""Addresses of Axis cameras' streams, as their VAPIX interface has them. Pure; any thread."""

from __future__ import annotations

from urllib.parse import urlencode


def axis_url(host: str, *, codec: str, resolution: str | None, hz: float | None, camera: int,
             transport: str) -> str:
    """The stream that a camera (or a channel of an encoder) makes with these settings.

    `codec`: "h264", over RTSP, or "mjpeg": over RTSP too, which tells times, or over HTTP where
    `transport` is "http". `host` may have a port. What is None is as set in the camera.
    """
    wanted = {"camera": str(camera)}
    if resolution is not None:
        wanted["resolution"] = resolution
    if hz is not None:
        wanted["fps"] = f"{hz:g}"
    if transport == "http":
        return f"http://{host}/axis-cgi/mjpg/video.cgi?{urlencode(wanted)}"
    video = {"videocodec": "h264" if codec == "h264" else "jpeg", "audio": "0"}
    return f"rtsp://{host}/axis-media/media.amp?{urlencode({**video, **wanted})}"
