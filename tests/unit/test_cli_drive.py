"""`fieldrec drive` without hardware: USB drives by umockdev, a daemon's drives by its snapshot."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fieldrec.cli.drive_look import facts, gets_and_why, lines
from fieldrec.config.drives import DrivesConfig
from fieldrec.core.model import Drive, DriveMarker, DriveState
from fieldrec.status import words
from fieldrec.status.board import Board, snapshot_as_dict, snapshot_from_dict
from tests.unit.test_drives_udev import FS, TABLE, disk, partition, usb

DRIVE = Drive(fs_uuid="71C7-17D6", label="BEES", device="/dev/sda1", mount_point=Path("/mnt/x"),
              fs_type="exfat", link_mbps=480, size_bytes=10**12, free_bytes=10**11,
              state=DriveState.READY, known=True, rule=0,
              marker=DriveMarker("d1", ours=True, owner="Bee lab", cameras=("side-*",)))


def listed(tmp_path: Path, speed: str) -> list[dict[str, Any]]:
    """What `drive list --json` says of a USB drive whose link has this speed, where USB 3 is
    required."""
    if shutil.which("umockdev-run") is None:
        pytest.skip("umockdev is not installed")
    (tmp_path / "recordings").mkdir()
    config = tmp_path / "fieldrec.yaml"
    config.write_text("storage: {directory: recordings}\ndrives: {require_usb3: true}\n")
    description = tmp_path / "usb.umockdev"
    description.write_text(usb(speed) + disk(**TABLE) + partition(1, **FS))
    done = subprocess.run(
        ["umockdev-run", "--device", str(description), "--", sys.executable, "-m",
         "fieldrec.cli.main", "drive", "list", "--json", "--config", str(config)],
        capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("speed", "state", "gets"), [
    ("480", "REJECTED", "nothing: it is not used"), ("5000", "SEEN", "copies; then eject")])
def test_a_slow_link_where_a_fast_one_is_required(tmp_path: Path, speed: str, state: str,
                                                  gets: str) -> None:
    (drive,) = listed(tmp_path, speed)
    assert (drive["state"], drive["gets"]) == (state, gets)
    if speed == "480":
        assert drive["why"] == ("on USB 2 (480 Mb/s), and drives.require_usb3 is set; use a blue "
                                "port and a USB 3 cable")


def test_what_a_rejected_drive_gets() -> None:
    rejected = replace(DRIVE, state=DriveState.REJECTED, reason="full: use another")
    assert gets_and_why(DrivesConfig(), rejected) == ("nothing: it is not used",
                                                      "full: use another")


def test_in_lines_and_in_json() -> None:
    config = DrivesConfig.model_validate(
        {"unproven_moves": True,
         "rules": [{"drive": "marked", "on_insert": "move", "keep_free_bytes": "2 GB"}]})
    said = dict(lines(config, DRIVE, ""))
    assert said == {
        "drive": "BEES (/dev/sda1)", "id": "71C7-17D6", "size": "1.0 TB, exfat",
        "link": "USB 2 (480 Mb/s)", "state": "ready, mounted at /mnt/x",
        "marker": "this recorder's, d1, owner Bee lab, cameras side-*", "known": "yes",
        "gets": "moves of cameras side-*; then eject",
        "why": "by rule 1 of drives.rules (marked)", "kept free": "2.0 GB"}
    values = json.loads(json.dumps(facts(config, DRIVE)))
    assert (values["state"], values["mount_point"], values["marker"]["id"]) == (
        "READY", "/mnt/x", "d1")


def test_a_strangers_marker_cannot_act_on_the_terminal() -> None:
    theirs = DriveMarker("d", ours=False, owner="?[31m", cameras=("\x1b[31m\n",))
    for _, value in lines(DrivesConfig(), replace(DRIVE, marker=theirs, known=False), ""):
        assert "\x1b" not in value and "\n" not in value


def test_what_a_daemon_says_of_its_drives_comes_through() -> None:
    board = Board()
    now = replace(board.latest, drives=(DRIVE, replace(DRIVE, marker=None, known=False, rule=-1)))
    again = snapshot_from_dict(json.loads(json.dumps(snapshot_as_dict(now))))
    assert again.drives == now.drives
    assert words.drive_label(again.drives[0]) == "BEES"
