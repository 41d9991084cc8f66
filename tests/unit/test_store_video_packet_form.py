"""Which pixel formats are packets, and what they are stored as."""

from __future__ import annotations

import subprocess
import sys

from fieldrec.store.metadata import VIDEO_FORMATS
from fieldrec.store.video.packet_form import packet_form


def test_packets_have_a_video_format_and_pixels_none() -> None:
    assert packet_form("H264") == "h264/mkv"
    assert packet_form("MJPEG") == "mjpeg/avi"
    assert {packet_form("H264"), packet_form("MJPEG")} <= set(VIDEO_FORMATS)
    for pixels in ("MONO8", "BGR8", "BAYER_RG8", "MONO16", ""):
        assert packet_form(pixels) is None


def test_asking_costs_no_decoder() -> None:
    code = ("import sys; from fieldrec.store.video.packet_form import packet_form; "
            "sys.exit(bool({'av', 'cv2'} & sys.modules.keys()))")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
