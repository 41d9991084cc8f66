"""`fieldrec cameras`: which of the configuration's are there; one line for what cannot look."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fieldrec.camera import looking
from fieldrec.camera.found import FoundCamera
from fieldrec.cli.cameras import cameras_command, formats
from fieldrec.cli.main import cli

FOUND = {
    "opencv": [FoundCamera("opencv", "C0FFEE", model="Brio", spec="opencv:C0FFEE",
                           link="USB 5000 Mbit/s", formats=("MJPG", "YUYV", "GREY", "NV12")),
               FoundCamera("opencv", "1-1.2", model="No name", spec="opencv:1-1.2")],
    "basler": [FoundCamera("basler", "", problem="pypylon is not installed;\nrun: pip install it")],
    "genicam": [],
}
BOX = """cameras:
  top: {backend: opencv, serial: C0FFEE}
  side: {backend: opencv, options: {usb_path: 1-1.2}}
  gone: {backend: genicam, serial: "77"}
  ace: {backend: basler, serial: "40012345"}
  test: {backend: synthetic}
"""


@pytest.fixture(autouse=True)
def few_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "finders", lambda: {
        name: (lambda cameras=cameras: cameras) for name, cameras in FOUND.items()})


def run(folder: Path, *arguments: str) -> str:
    (folder / "box.yaml").write_text(BOX)
    done = CliRunner().invoke(cameras_command, ["--config", str(folder / "box.yaml"), *arguments],
                              catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_what_is_there_and_what_is_missing(tmp_path: Path) -> None:
    told = run(tmp_path)
    row = next(line for line in told.splitlines() if "Brio" in line)
    assert row.split()[0] == "opencv:C0FFEE"
    assert row.split()[-1] == "top"
    assert "MJPG, YUYV, GREY, … 4 in all" in row
    assert next(line for line in told.splitlines() if "No name" in line).split()[-1] == "side"
    assert "gone (genicam, serial 77): missing\n" in told
    assert "ace (basler, serial 40012345): unknown\n" in told
    assert "test (synthetic, serial test): not looked for\n" in told
    assert "basler: pypylon is not installed; run: pip install it\n" in told
    assert "top (" not in told


def test_as_json(tmp_path: Path) -> None:
    told = json.loads(run(tmp_path, "--json"))
    assert [(one["spec"], one["configured_as"]) for one in told["cameras"]] == [
        ("opencv:C0FFEE", "top"), ("opencv:1-1.2", "side")]
    assert told["cameras"][0]["link"] == "USB 5000 Mbit/s"
    assert {one["key"]: one["state"] for one in told["configured"]} == {
        "top": "present", "side": "present", "gone": "missing", "ace": "unknown",
        "test": "not looked for"}
    assert [one["backend"] for one in told["problems"]] == ["basler"]


def test_one_backend_alone(tmp_path: Path) -> None:
    told = json.loads(run(tmp_path, "--json", "--backend", "genicam"))
    assert told["cameras"] == told["problems"] == []
    assert [one["key"] for one in told["configured"]] == ["gone"]


def test_a_few_formats_are_all_shown() -> None:
    assert formats(FoundCamera("a", "b", formats=("MONO8", "BGR8"))) == "MONO8, BGR8"


def test_it_is_a_command() -> None:
    assert "cameras" in cli.list_commands(None)  # type: ignore[arg-type]
