"""What the commands for single stores refuse: one line, an exit code of its own, nothing made.

In this process, for speed; tests/scenario/test_store_commands.py runs the real command.
"""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from fieldrec.cli.main import cli
from fieldrec.core import errors
from fieldrec.core.errors import FieldrecError
from tests.fakes.clips import write_clip
from tests.fakes.commands import leftovers
from tests.fakes.recordings import small_recording

USAGE = errors.UsageError.exit_code
NOT_FOUND = errors.NotFoundError.exit_code
STATE = errors.StateError.exit_code
CAMERA = errors.CameraError.exit_code
STORE = errors.StoreError.exit_code
SYNTAX = 2


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store `frogs` in the working directory, which has no recordings folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("FIELDREC_CONFIG", "FIELDREC_RECORDINGS", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return small_recording(tmp_path / "frogs")


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(capsys: pytest.CaptureFixture[str], code: int, says: str, *arguments: str) -> None:
    """The command fails with this exit code and one line that says this; nothing on stdout."""
    with pytest.raises((FieldrecError, click.ClickException)) as caught:
        cli(list(arguments), standalone_mode=False)
    error = caught.value
    assert isinstance(error, FieldrecError | click.ClickException)
    text = error.format_message() if isinstance(error, click.ClickException) else str(error)
    assert (error.exit_code, says in text, capsys.readouterr().out) == (code, True, ""), text
    assert isinstance(error, click.ClickException) or "\n" not in text


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (("--source", "clip.mp4", "--format", "gif", "new"), STORE, "there are npy, bmp"),
    (("--source", "clip.mp4", "--format", "bpk", "new"), STORE, "there are npy, bmp"),
    (("--source", "clip.mp4", "there"), STORE, "exists already"),
    (("--source", "clip.mp4", "none/new"), STORE, "no such folder"),
    (("--source", "none.mp4", "new"), USAGE, "no camera backend 'none.mp4'"),
    (("--source", "file:none.mp4", "new"), CAMERA, "none.mp4: no such file"),
    (("--source", "note.txt", "new"), CAMERA, "not a video file that can be played"),
    (("--source", "clip.mp4", "--metadata", "x", "new"), USAGE, "expected key=value"),
    (("--source", "clip.mp4", "--chunksize", "0", "new"), SYNTAX, "--chunksize"),
    (("--source", "synthetic:96x64,mono16", "--frames", "2", "--format", "jpg", "new"), STORE,
     "jpg cannot hold a uint16"),
    (("new",), SYNTAX, "--source"),
])
def test_save_refuses_in_one_line(saved: Path, capsys: pytest.CaptureFixture[str],
                                  arguments: tuple[str, ...], code: int, says: str) -> None:
    write_clip(saved.parent / "clip.mp4", frames=3)
    (saved.parent / "there").mkdir()
    (saved.parent / "note.txt").write_text("no video")
    refused(capsys, code, says, "save", *arguments)
    assert visible(saved.parent) == ["clip.mp4", "frogs", "note.txt", "there"]
    assert leftovers(saved.parent) == []


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (("frogs", "out.avi"), USAGE, "use .mp4 or .mkv, or a constant rate"),
    (("frogs", "out.mov"), USAGE, ".mp4 or .mkv or .avi"),
    (("frogs", "out.mp4", "--preset", "Lossless"), USAGE, "cannot be put into a .mp4: use .mkv"),
    (("frogs", "out.mp4", "--container", "mkv"), USAGE, "does not end in .mkv"),
    (("frogs", "out.mp4", "--fps", "fast"), USAGE, "expected true, native, or"),
    (("frogs", "out.mp4", "--fps", "-3"), USAGE, "expected true, native, or"),
    (("frogs", "frogs", "out.mp4"), USAGE, "2 stores need one"),
    (("frogs", "."), USAGE, "fieldrec export frogs"),
    (("frogs", "none", "."), STORE, "no recordings folder"),
    (("frogs", "out.mp4", "--jobs", "0"), SYNTAX, "--jobs"),
    (("out.mp4",), SYNTAX, "STORE"),
    (("frogs", "new", "--to-store", "--fps", "25"), USAGE, "--fps is of movies"),
    (("frogs", "new", "--to-store", "--end", "5"), USAGE, "--end is of movies"),
    (("frogs", "new", "--to-store", "--preset", "VP9"), USAGE, "H.264 or lossless"),
    (("frogs", "there.mp4"), STORE, "exists already"),
    (("frogs", "none/out.mp4"), STORE, "no such folder"),
    (("frogs", "frogs.high.mp4"), USAGE, "fieldrec export frogs"),
    (("frogs", "out.mp4", "--preset", "Hihg"), USAGE, "did you mean High"),
    (("frogs", "out.mp4", "--from", "soon"), USAGE, "expected an index"),
    (("frogs", "out.mp4", "--from", "9", "--to", "9"), USAGE, "no frame from 9"),
    (("./none", "out.mp4"), NOT_FOUND, "no store there"),
    (("frogs", "x" * 250 + ".mp4"), USAGE, "too long"),
])
def test_transcode_refuses_in_one_line(saved: Path, capsys: pytest.CaptureFixture[str],
                                       arguments: tuple[str, ...], code: int, says: str) -> None:
    (saved.parent / "there.mp4").write_text("mine")
    before = visible(saved.parent)
    refused(capsys, code, says, "transcode", *arguments)
    assert visible(saved.parent) == before
    assert (saved.parent / "there.mp4").read_text() == "mine"


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (("frogs", "new", "--format", "gif"), STORE, "there are npy"),
    (("frogs", "frogs", "--format", "png"), STORE, "exists already"),
    (("frogs", "none/new", "--format", "png"), STORE, "no such folder"),
    (("frogs", "new", "--format", "png", "--encoding", "cv_no"), USAGE, "cv_no"),
    (("./none", "new", "--format", "png"), NOT_FOUND, "no store there"),
    (("frogs", "y" * 300 + "/new", "--format", "png"), STORE, "File name too long"),
    (("frogs", "new"), SYNTAX, "--format"),
])
def test_convert_refuses_in_one_line(saved: Path, capsys: pytest.CaptureFixture[str],
                                     arguments: tuple[str, ...], code: int, says: str) -> None:
    before = visible(saved.parent)
    refused(capsys, code, says, "convert", *arguments)
    assert visible(saved.parent) == before


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (("frogs",), STATE, "--sheet OUT.png"), (("frogs", "--terminal"), STATE, "--sheet OUT.png"),
    (("frogs", "--sheet", "x.gif"), USAGE, ".png"),
    (("frogs", "--sheet", "none/x.png"), STORE, "no such folder"),
    (("frogs", "--sheet", "x.png", "--from", "99"), USAGE, "ends before"),
    (("./none", "--sheet", "x.png"), NOT_FOUND, "no store there"),
    (("frogs", "--fps", "-1"), SYNTAX, "--fps"),
])
def test_view_refuses_in_one_line(saved: Path, capsys: pytest.CaptureFixture[str],
                                  arguments: tuple[str, ...], code: int, says: str) -> None:
    refused(capsys, code, says, "view", *arguments)
    assert visible(saved.parent) == ["frogs"]


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (("show", "./none"), NOT_FOUND, "no store there"),
    (("show", "none"), STORE, "no recordings folder"),
    (("check", "./none"), NOT_FOUND, "no store there"),
    (("recover", "./none"), NOT_FOUND, "no store there"),
    (("check", "--repair"), STORE, "no recordings folder"),
    (("show", "frogs/000000"), NOT_FOUND, "no store there"),
    (("show", "./" + "x" * 300), NOT_FOUND, "File name too long"),
    (("show", "x" * 300, "--recordings", "."), NOT_FOUND, "no recording"),
    (("show", "./frogs/000000/000000.npy"), NOT_FOUND, "it is a file"),
    (("show", "~nobody-of-that-name/x"), NOT_FOUND, "no store there"),
])
def test_stores_that_are_not_there(saved: Path, capsys: pytest.CaptureFixture[str],
                                   arguments: tuple[str, ...], code: int, says: str) -> None:
    refused(capsys, code, says, *arguments)
    assert visible(saved.parent) == ["frogs"]


