"""In which video format a camera's own packets are recorded, without decoding them.

Pure; any thread. Imports nothing that video needs: the recorder asks for every camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_FORMS: Mapping[str, str] = MappingProxyType({"H264": "h264/mkv", "MJPEG": "mjpeg/avi"})


def packet_form(pixel_format: str) -> str | None:
    """The store format for frames of this pixel format where they are encoded packets; None for
    pixels."""
    return _FORMS.get(pixel_format)
