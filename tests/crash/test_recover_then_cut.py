"""I2 through two blows: what recovery lists after a kill is on the disk when the power goes next.

A killed program's frames lie in memory, read back right, and are gone with the power unless they
are written before they are listed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fieldrec.catalogue.check import check
from fieldrec.core.model import FrameSpec
from fieldrec.store.reader import StoreReader
from fieldrec.store.recover import recover
from fieldrec.store.writer import StoreWriter
from tests.crash.running import quick_folder
from tests.fakes.loop_devices import loop_disk, missing_for

MB = 1 << 20
FRAMES = 6
SPEC = FrameSpec((60, 80, 3), "uint8", "BGR8", 50.0)
SIZES = {"ext4": 64 * MB, "xfs": 300 * MB}


def killed(path: Path, form: str) -> None:
    """A store as a program leaves it that is killed before its first sync."""
    writer = StoreWriter(path, SPEC, chunksize=100, timezone="UTC", user_metadata={},
                         created_epoch_ns=0, form=form)
    for number in range(FRAMES):
        writer.append(np.full(SPEC.shape, 40 * number, np.uint8), number, number * 20_000_000, None)
    writer.abandon()


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
def test_what_was_recovered_outlives_a_power_cut(file_system: str, tmp_path: Path) -> None:
    missing = missing_for(file_system)
    if missing:
        pytest.skip(f"power cuts on {file_system}: {missing}")
    with quick_folder(tmp_path) as folder, loop_disk(folder, file_system, SIZES[file_system]
                                                     ) as disk:
        stores = {form: disk.mount_point / form.replace("/", "_")
                  for form in ("npy", "png", "mjpeg/avi", "h264/mkv")}
        for form, path in stores.items():
            killed(path, form)
        kept = {form: recover(path).frames_kept for form, path in stores.items()}
        disk.go_down()
        disk.come_back()
        assert kept == dict.fromkeys(stores, FRAMES)
        assert check(disk.mount_point, deep=True) == []
        for path in stores.values():
            with StoreReader(path) as store:
                assert store.frame_count == FRAMES
                for at in range(FRAMES):
                    assert abs(int(store.read(at).mean()) - 40 * at) < 6
