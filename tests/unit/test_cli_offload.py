"""`copy-all`, `move-all`, `export-all` on a folder without a daemon, as a person types them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fieldrec.catalogue.scan import scan
from fieldrec.catalogue.verify import HISTORY, verify
from fieldrec.cli.main import cli
from tests.fakes.job_box import names
from tests.fakes.small_stores import make_export, make_store


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("recordings", "usb"):
        (tmp_path / folder).mkdir()
    for seed, name in enumerate(("ants", "bees"), 1):
        make_store(tmp_path / "recordings", name, seed=seed)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--recordings", "recordings"])


def test_what_will_be_done_is_said_first(here: Path) -> None:
    dry = run("copy-all", "--to", "./usb", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert f"copy 2 recordings to {here / 'usb'}: " in dry.output
    assert "nothing was done" in dry.output and names(here / "usb") == []
    done = run("copy-all", "--to", "./usb")
    assert "jobs 1 to 2" in done.output and names(here / "usb") == ["ants", "bees"]
    again = run("copy-all", "--to", "./usb", "--json")
    told = json.loads(again.output[again.output.index("{"):])
    assert (told["recordings"], told["there"], told["fits"]) == (2, 2, 2)
    assert {job["state"] for job in told["jobs"]} == {"done"}


def test_of_some_recordings(here: Path) -> None:
    assert "nothing to do" in run("copy-all", "--to", "./usb", "--since", "2020-01-01").output
    assert "nothing to do" in run("copy-all", "--to", "./usb", "--camera", "side-*").output
    moved = run("move-all", "bees", "--to", "./usb")
    assert "job 1" in moved.output
    assert (names(here / "usb"), names(here / "recordings")) == (["bees"], ["ants"])


@pytest.mark.parametrize("words", [("copy-all", "--to"), ("copy", "--all", "-d")])
def test_without_a_daemon_no_wait_waits_and_tells_a_failure(here: Path, words: tuple[str, ...]
                                                            ) -> None:
    os.mkfifo(here / "usb" / ".part-ants")
    failed = run(*words, "./usb", "--no-wait")
    assert failed.exit_code != 0 and "copy ants" in str(failed.exception)
    assert "in the way" in str(failed.exception)


def test_export_all_moves_what_is_exported_already_and_the_raw_goes(here: Path) -> None:
    uuid = scan(here / "recordings")[0].uuid
    make_export(here / "recordings", "ants", uuid)
    done = run("export-all", "ants", "--to", "./usb")
    assert done.exit_code == 0, done.output
    assert names(here / "usb") == ["ants.high.mp4", "ants.high.mp4.json"]
    assert names(here / "recordings") == ["bees"]
    history, = verify(here / "usb")
    assert (history.checked_by, history.files, history.is_right) == (HISTORY, 2, True), (
        "a command ends with its jobs: the history of the whole is written before")


def test_what_does_not_fit_is_said_and_not_begun(here: Path, monkeypatch: pytest.MonkeyPatch
                                                 ) -> None:
    real = os.fstatvfs

    def full(descriptor: int) -> os.statvfs_result:
        room = list(real(descriptor))
        room[4] = 1  # f_bavail
        return os.statvfs_result(room)

    monkeypatch.setattr(os, "fstatvfs", full)
    told = run("copy-all", "--to", "./usb")
    assert told.exit_code == 0, told.output
    assert "0 of 2 recordings fit" in told.output and "use another destination" in told.output
    assert names(here / "usb") == []


@pytest.mark.parametrize(("words", "says"), [
    (("--to", "./usb", "--since", "soon"), "expected a time such as"),
    (("--to", "nowhere"), "no destination 'nowhere'"),
    (("--to", "./recordings"), "inside or around the recordings folder"),
])
def test_refused_in_one_line(here: Path, words: tuple[str, ...], says: str) -> None:
    refused = run("copy-all", *words)
    assert refused.exit_code != 0 and says in str(refused.exception)
