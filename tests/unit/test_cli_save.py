"""What `save` makes of a camera; what it refuses is in test_cli_store_commands.py."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from fieldrec.cli.main import cli
from fieldrec.store.reader import StoreReader
from tests.fakes.coded_streams import jpeg_packets
from tests.fakes.network_cameras import MjpegServer, part

CONFIG = """
storage: {directory: recordings}
cameras:
  turned:
    backend: synthetic
    options: {width: 96, height: 64, hz: 200, pixel_format: BGR8, paced: %s}
    prepare: {region: [0, 0, 64, 48], rotate: 90, grey: true, every_nth: 2}
"""


@pytest.mark.parametrize("paced", ["true", "false"])
def test_a_configured_camera_is_saved_as_it_is_prepared(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paced: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("box.yaml").write_text(CONFIG % paced)
    cli(["save", "--config", "box.yaml", "--source", "turned", "--frames", "5", "new"],
        standalone_mode=False)
    with StoreReader(tmp_path / "new") as store:
        assert store.metadata.imgshape == (64, 48)
        assert store.frame_count == 5
        assert store.user_metadata["fieldrec"]["pixel_format"] == "MONO8"
        assert store.user_metadata["acquisitionframerate"] == 100
        assert np.ptp(store.read(0)) > 0


def test_a_network_cameras_packets_stay_packets(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parts = [part(packet.data) for packet in jpeg_packets(20, width=160, height=120)]
    with MjpegServer(lambda _: itertools.cycle(parts)) as server:
        cli(["save", "--recordings", str(tmp_path), "--source",
             f"network:{server.url},store=packets,hz=50", "--frames", "6", "new"],
            standalone_mode=False)
    with StoreReader(tmp_path / "new") as store:
        assert (store.metadata.format, store.metadata.imgshape) == ("mjpeg/avi", (120, 160, 3))
        assert store.frame_count == 6
        assert store.read(3).shape == (120, 160, 3)
