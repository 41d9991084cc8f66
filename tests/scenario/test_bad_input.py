"""Bad input and what it gets: one line on stderr, an exit code of its own, nothing half-made.

Every case goes through the real command. The exit codes are those of `core/errors.py`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imgstore
import pytest

from fieldrec.cli.main import COMMANDS
from fieldrec.core import errors
from tests.fakes.clips import write_clip
from tests.fakes.commands import (
    COMMAND,
    daemon,
    environment,
    fieldrec,
    fieldrec_json,
    leftovers,
    refused,
    write_config,
)
from tests.fakes.small_stores import make_store
from tests.fakes.waiting import PATIENCE_S

SMALL = "synthetic:96x64@25,mono8"
CONFIG = errors.ConfigError.exit_code
USAGE = errors.UsageError.exit_code
NOT_FOUND = errors.NotFoundError.exit_code
STATE = errors.StateError.exit_code
CAMERA = errors.CameraError.exit_code
STORE = errors.StoreError.exit_code
FULL = errors.StoreFull.exit_code
SYNTAX = 2

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    folder.mkdir()
    return folder


def record(output: Path, *more: object, camera: str = SMALL, duration: object = 0.2
           ) -> subprocess.CompletedProcess[str]:
    return fieldrec("record", "--camera", camera, "--duration", duration, "--output", output,
                    *more, cwd=output.parent)


def shell(line: str) -> subprocess.CompletedProcess[bytes]:
    """`fieldrec` with the rest of a line as bash reads it."""
    return subprocess.run(["/bin/bash", "-c", f"{' '.join(COMMAND)} {line}"], check=False,
                          capture_output=True, env=environment(), timeout=PATIENCE_S)


def visible(folder: Path) -> list[str]:
    """What a person sees in a folder."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def assert_nothing_made(folder: Path) -> None:
    assert visible(folder) == []
    assert leftovers(folder) == []


# -- the configuration -----------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "line", "says"), [
    ("a: [1,\n b", 2, "not valid YAML"),
    ("\tx: 1\n", 1, "not valid YAML"),
    ("- just\n- a list\n", 1, "expected sections"),
    ("store:\n  chunksize: 5\n  chunk_size: 5\n", 3,
     "store.chunk_size: unknown key; did you mean 'chunksize'?"),
    ("cameras:\n  a: {backend: synthetic, serial: '7'}\n  b: {backend: synthetic, serial: '7'}\n",
     3, "camera 'a' has the same serial '7'"),
    ("cameras:\n  a: {backend: sinthetic}\n", 2, "did you mean 'synthetic'?"),
    ("cameras:\n  a:\n    backend: synthetic\n    options: {widht: 640}\n", 4,
     "did you mean 'width'?"),
    ("cameras:\n  'a/b': {backend: synthetic}\n", 2, "cannot be a name"),
    ("destinations:\n  usb: {path: recordings/sub}\n", 2, "inside the recordings folder"),
    ("export:\n  preset: Hihg\n", 2,
     "the presets are Lossless, High, Medium, Low, HEVC, VP9, AV1; did you mean High?"),
    ("record:\n  name: 'a\\nb'\n", 2, "letters, digits"),
])
def test_a_wrong_configuration_is_told_with_its_line(
        tmp_path: Path, text: str, line: int, says: str) -> None:
    (tmp_path / "box.yaml").write_text(text)
    refused(fieldrec("config", "check", "box.yaml", cwd=tmp_path), CONFIG,
            f"fieldrec: box.yaml:{line}: ", says)


@pytest.mark.parametrize("command", [("run",), ("list",), ("export", "--all")])
def test_no_command_begins_with_a_wrong_configuration(
        tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "box.yaml").write_text("export:\n  preset: Hihg\n")
    (tmp_path / "recordings").mkdir()
    refused(fieldrec(*command, "--config", "box.yaml", cwd=tmp_path), CONFIG,
            "fieldrec: box.yaml:2: export.preset: ")
    assert list((tmp_path / "recordings").iterdir()) == []


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    refused(fieldrec("run", "--config", "none.yaml", cwd=tmp_path), CONFIG, "none.yaml",
            "No such file")


# -- the folder ------------------------------------------------------------------------------------


def test_a_missing_output_folder_is_not_made(tmp_path: Path) -> None:
    refused(record(tmp_path / "none"), STORE, str(tmp_path / "none"), "does not exist")
    assert visible(tmp_path) == []


def test_an_output_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "none").write_text("")
    refused(record(tmp_path / "none"), STORE, "is not a folder")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Any]:
    """mounted(options): a tmpfs at tmp_path/disk."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(options: str) -> Path:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(disk)], check=True)
        return disk

    yield mount
    subprocess.run(["umount", str(disk)], check=False, capture_output=True)


@pytest.mark.root
@needs_root
def test_a_read_only_output_folder(mounted: Any) -> None:
    refused(record(mounted("size=4m,ro")), STORE, "read-only")


@pytest.mark.root
@needs_root
def test_start_is_refused_with_the_numbers_when_the_reserve_is_not_free(mounted: Any) -> None:
    disk = mounted("size=4m")
    refused(record(disk), FULL, "4.", "MB free", "stop below 500.0 MB")
    assert_nothing_made(disk)


@pytest.mark.root
@needs_root
def test_start_is_refused_with_the_numbers_when_the_disk_is_too_full(
        mounted: Any, tmp_path: Path) -> None:
    disk = mounted("size=4m")
    (disk / "ballast").write_bytes(bytes(3_900_000))
    config = write_config(tmp_path, storage={"directory": "disk", "reserve_bytes": 0,
                                             "stop_percent": 80})
    refused(fieldrec("record", "--config", config, "--camera", "left", "--duration", 1), FULL,
            "% used (stop at 80 %)", "kB free")
    assert visible(disk) == ["ballast"]


@pytest.mark.root
@needs_root
def test_start_is_refused_when_nothing_at_all_can_be_written(mounted: Any) -> None:
    disk = mounted("size=1m")
    with (disk / "ballast").open("wb", buffering=0) as ballast, pytest.raises(OSError, match="28"):
        while True:
            ballast.write(bytes(4096))
    refused(record(disk), FULL, "100.0 % used, 0 B free")
    assert visible(disk) == ["ballast"]


@pytest.mark.root
@needs_root
@pytest.mark.parametrize(("storage", "says"), [
    ({"stop_percent": 60, "reserve_bytes": 0}, "(stop at 60 %)"),
    ({"stop_percent": 99.9, "reserve_bytes": "9 MB"}, "(stop below 9.0 MB)"),
])
def test_a_disk_that_fills_while_recording_stops_it_in_order(
        mounted: Any, tmp_path: Path, storage: dict[str, Any], says: str) -> None:
    disk = mounted("size=20m")
    config = write_config(tmp_path, storage={"directory": "disk", **storage})
    with daemon(config) as box:
        box.ask("start", name="full", metadata={"bird": "dove"})
        box.recorded(5)
        (disk / "ballast").write_bytes(bytes(13_000_000))
        box.wait_said("recording stops: disk ")
        box.wait(lambda: not box.ask("snapshot")["recording"], "the recording has ended")
        assert says in box.log
        assert "MB free" in box.log
        refused(fieldrec("start", "--config", config), FULL, says)
        assert box.stop() == 0
    assert_readable(disk, 2)


@pytest.mark.root
@needs_root
def test_a_disk_that_fills_faster_than_anybody_looks_leaves_complete_stores(
        mounted: Any, tmp_path: Path) -> None:
    disk = mounted("size=6m")
    config = write_config(
        tmp_path, storage={"directory": "disk", "reserve_bytes": 0, "stop_percent": 100},
        cameras={"fast": {"backend": "synthetic",
                          "options": {"width": 640, "height": 480, "hz": 100}}})
    with daemon(config) as box:
        box.ask("start", name="full")
        box.wait(lambda: not box.ask("snapshot")["recording"], "the recording has ended")
        box.wait_said("recording ended (disk")
        assert box.stop() == 0
    assert_readable(disk, 1)


def assert_readable(folder: Path, count: int) -> None:
    """So many complete recordings, each with frames, for us and for the real imgstore."""
    assert leftovers(folder) == []
    listed = fieldrec_json("list", "--recordings", folder)
    assert [r["state"] for r in listed] == ["complete"] * count
    assert fieldrec_json("check", "--deep", "--recordings", folder) == []
    for recording in listed:
        store = imgstore.new_for_filename(recording["path"])
        try:
            assert store.frame_count == recording["frame_count"] > 0
            for _ in range(store.frame_count):
                store.get_next_image()
        finally:
            store.close()


# -- cameras ---------------------------------------------------------------------------------------


def test_a_file_that_is_no_video(output: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.mp4").write_text("Dear reader, this is no video.\n" * 100)
    refused(record(output, camera="file:letter.mp4"), CAMERA, "letter.mp4",
            "not a video file that can be played")
    assert_nothing_made(output)


def test_a_video_that_is_not_there(output: Path) -> None:
    refused(record(output, camera="file:none.mp4"), CAMERA, "none.mp4", "no such file")
    assert_nothing_made(output)


def test_a_device_that_does_not_open(output: Path) -> None:
    refused(record(output, camera="opencv:/dev/video97"), CAMERA, "/dev/video97")
    assert_nothing_made(output)


@pytest.mark.parametrize(("spec", "code", "says"), [
    ("synthetc", USAGE, "did you mean 'synthetic'?"),
    ("synthetic:huge", USAGE, "'huge' is not WIDTHxHEIGHT"),
    ("synthetic:", USAGE, "nothing after ':'"),
    ("file:", USAGE, "the path is missing"),
    ("", USAGE, "no camera backend ''"),
])
def test_a_wrong_camera_spec(output: Path, spec: str, code: int, says: str) -> None:
    refused(record(output, camera=spec), code, says)
    assert list(output.iterdir()) == []


def test_wrong_options_of_a_camera(output: Path) -> None:
    refused(record(output, camera="synthetic:0x0"), CONFIG, "greater than or equal")
    assert_nothing_made(output)


def test_one_camera_that_does_not_open_does_not_stop_the_other(output: Path) -> None:
    done = record(output, "--camera", "file:none.mp4", "--json")
    assert done.returncode == CAMERA
    assert done.stderr.splitlines()[-1].startswith("fieldrec: camera none did not record: ")
    assert "Traceback" not in done.stderr
    (made,) = json.loads(done.stdout)
    assert made["state"] == "complete"
    assert made["frame_count"] > 0


def test_a_camera_that_does_not_open_is_shown_and_tried_again(tmp_path: Path) -> None:
    clip = tmp_path / "later.mp4"
    config = write_config(tmp_path, cameras={
        "here": {"backend": "synthetic", "options": {"width": 96, "height": 64, "hz": 25}},
        "away": {"backend": "file", "options": {"path": "later.mp4", "loop": True}}})
    with daemon(config) as box:
        names = box.ask("start", name="bees")
        assert [name.rsplit("_", 1)[1] for name in names] == ["here"]
        away = box.ask("snapshot")["recorders"][1]
        assert (away["state"], "no such file" in away["problem"]) == ("failed", True)
        shown = fieldrec("status", "--config", config, env={"COLUMNS": "200"})
        assert "away" in shown.stdout
        assert "no such file" in shown.stdout
        write_clip(tmp_path / ".later.mp4")
        (tmp_path / ".later.mp4").rename(clip)
        box.recorded(3)
        assert "camera away is back" in box.log
        assert box.stop() == 0
    assert_readable(tmp_path / "recordings", 2)


# -- names and words -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a/b", "a\nb", "a\x1b[31mb", "", ".hidden", "x" * 101])
def test_a_name_that_cannot_be_a_folder_everywhere(output: Path, name: str) -> None:
    refused(record(output, f"--name={name}"), USAGE, "cannot be a recording's name")
    assert list(output.iterdir()) == []


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (("--meta", "novalue"), USAGE, "--meta 'novalue': expected key=value"),
    (("--meta", "=5"), USAGE, "expected key=value"),
    (("--meta", "__store=5"), USAGE, "belongs to the store"),
    (("--duration", "-1"), SYNTAX, "--duration"),
    (("--duration", "0"), SYNTAX, "--duration"),
    (("--duration", "nan"), USAGE, "duration nan"),
    (("--duration", "inf"), USAGE, "duration inf"),
    (("--duration", "soon"), SYNTAX, "'soon' is not a valid float"),
    (("--colour", "red"), SYNTAX, "--colour"),
])
def test_wrong_arguments(output: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    refused(record(output, *arguments), code, says)
    assert visible(output) == []


def test_an_unknown_command() -> None:
    refused(fieldrec("exprt"), SYNTAX, "no such command 'exprt'; did you mean 'export'?")


def test_without_a_command_the_commands_are_listed() -> None:
    done = fieldrec()
    assert done.returncode == SYNTAX
    assert all(command in done.stderr for command in COMMANDS)


@pytest.fixture
def recorded(output: Path) -> Path:
    """A folder with one recording, `bees`."""
    make_store(output, "bees")
    return output


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (("export", "--all", "--preset", "Hihg"), USAGE, "the presets are Lossless, High, Medium, Low"),
    (("export",), USAGE, "name recordings, or give --all"),
    (("export", "bees", "--all"), USAGE, "name recordings, or give --all"),
    (("export", "beees"), NOT_FOUND, "did you mean bees?"),
    (("copy", "--all", "-d", "usb"), NOT_FOUND, "no destination 'usb'"),
    (("copy", "--all", "-d", "./none"), NOT_FOUND, "is not a folder"),
    (("copy", "--all", "-d", "output/sub"), USAGE, "inside or around the recordings folder"),
    (("move", "--all", "-d", "./output"), USAGE, "inside or around the recordings folder"),
    (("move", "--all", "-d", ".."), USAGE, "inside or around the recordings folder"),
    (("delete", "beees", "--yes"), NOT_FOUND, "did you mean bees?"),
    (("delete", "../output", "--yes"), NOT_FOUND, "no recording"),
    (("show", "beees"), NOT_FOUND, "no recording 'beees'"),
    (("cancel", "7"), NOT_FOUND, "no job 7"),
    (("retry", "7"), NOT_FOUND, "no job 7"),
    (("job-first", "7"), NOT_FOUND, "no job 7"),
    (("cancel", "seven"), SYNTAX, "seven"),
    (("start",), STATE, "no fieldrec runs on"),
    (("stop",), STATE, "no fieldrec runs on"),
    (("eject",), STATE, "no fieldrec runs on"),
])
def test_a_command_that_cannot_be_done(recorded: Path, arguments: tuple[str, ...], code: int,
                                       says: str) -> None:
    (recorded / "sub").mkdir()
    before = visible(recorded)
    refused(fieldrec(*arguments, "--recordings", recorded, cwd=recorded.parent), code, says)
    assert visible(recorded) == before
    assert leftovers(recorded.parent) == []


def test_delete_asks_first(recorded: Path) -> None:
    done = fieldrec("delete", "bees", "--recordings", recorded)  # stdin is empty
    assert done.returncode == 130
    assert visible(recorded) == ["bees"]


@pytest.mark.parametrize("arguments", [
    ("list",), ("show", "x"), ("export", "--all"), ("copy", "--all", "-d", "/tmp"), ("jobs",),
    ("status",), ("check",), ("recover",), ("start",), ("delete", "x", "--yes")])
def test_no_recordings_folder(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    refused(fieldrec(*arguments, cwd=tmp_path), STORE, str(tmp_path / "recordings"))
    assert list(tmp_path.iterdir()) == []


# -- rows, places, pipes ---------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [b"garbage, no database", b"SQLite format 3\0" + bytes(2000)])
def test_job_rows_that_cannot_be_read_cost_nothing_but_themselves(
        recorded: Path, damage: bytes) -> None:
    rows = recorded / ".fieldrec" / "jobs.sqlite"
    rows.parent.mkdir()
    rows.write_bytes(damage)
    for command in (("list",), ("status",), ("check",)):
        fieldrec_json(*command, "--recordings", recorded)
    done = fieldrec("jobs", "--recordings", recorded, "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    rows.write_bytes(damage)
    done = fieldrec("export", "--all", "--recordings", recorded, "--json")
    assert done.returncode == 0, done.stderr
    assert [job["state"] for job in json.loads(done.stdout)] == ["done"]
    assert "jobs.sqlite.bad" in done.stderr
    assert done.stderr.count("put aside") == 1


def test_the_line_wins_over_the_environment_and_a_configuration_needs_no_folder(
        tmp_path: Path) -> None:
    def listed(*arguments: object, **env: object) -> list[str]:
        done = fieldrec("list", "--json", *arguments, cwd=tmp_path,
                        env={key: str(value) for key, value in env.items()})
        assert done.returncode == 0, done.stderr
        return [r["name"] for r in json.loads(done.stdout)]

    folders = {name: tmp_path / name for name in ("recordings", "one", "two", "three")}
    for seed, (name, folder) in enumerate(folders.items()):
        folder.mkdir()
        make_store(folder, f"in-{name}", seed=seed)
    config = write_config(tmp_path, storage={"directory": "one"})
    other = tmp_path / "other.yaml"
    other.write_text("storage: {directory: three}\n")
    assert listed() == ["in-recordings"]
    assert listed(FIELDREC_RECORDINGS=folders["two"]) == ["in-two"]
    assert listed(FIELDREC_CONFIG=config) == ["in-one"]
    assert listed("--recordings", "two", FIELDREC_CONFIG=config) == ["in-two"]
    assert listed("--config", config, FIELDREC_RECORDINGS=folders["two"]) == ["in-one"]
    assert listed("--config", other, FIELDREC_CONFIG=config) == ["in-three"]
    refused(fieldrec("list", "--config", config, "--recordings", "two", cwd=tmp_path), USAGE,
            "not both")


def test_json_of_every_command_is_one_document(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (name,) = [r["name"] for r in fieldrec_json(
        "record", "--config", config, "--camera", "left", "--duration", 0.2)]
    assert fieldrec_json("status", "--config", config)["running"] is False
    assert [r["name"] for r in fieldrec_json("list", "--config", config)] == [name]
    assert fieldrec_json("show", name, "--config", config)["name"] == name
    for command in (("export", name), ("copy", name, "-d", other), ("move", name, "-d", other)):
        (job,) = fieldrec_json(*command, "--config", config)
        assert (job["kind"], job["state"]) == (command[0], "done")
    assert len(fieldrec_json("jobs", "--config", config)) == 3
    assert fieldrec_json("check", "--deep", "--config", config) == []
    assert fieldrec_json("list", "--config", config) == []
    make_store(tmp_path / "recordings", "bees")
    (job,) = fieldrec_json("delete", "bees", "--yes", "--config", config)
    assert job["state"] == "done"
    with daemon(config):
        assert len(fieldrec_json("start", "--config", config)) == 2
        assert fieldrec_json("status", "--config", config)["recording"] is True
        assert len(fieldrec_json("stop", "--config", config)) == 2


@pytest.mark.parametrize("arguments", [("list",), ("list", "--json"), ("show", "bees"), ("status",),
                                       ("check",), ("jobs",), ("--help",), ("list", "--help")])
def test_a_reader_that_goes_early_is_no_error(recorded: Path, arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    where = () if "--help" in arguments else ("--recordings", str(recorded))
    try:
        done = subprocess.run([*COMMAND, *arguments, *where], stdout=writing,
                              stderr=subprocess.PIPE, env=environment(), check=False,
                              timeout=PATIENCE_S)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_reader_that_goes_early_does_not_hide_a_failure(recorded: Path) -> None:
    (recorded / "bees" / "000000" / "000001.npy").write_bytes(b"")
    done = shell(f"check --deep --recordings {recorded} | true; exit ${{PIPESTATUS[0]}}")
    assert done.returncode == errors.StoreDamaged.exit_code
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("closing", ["2>&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors_do_not_reach_the_store(output: Path, closing: str) -> None:
    done = shell(f"record --camera {SMALL} --duration 0.2 --output {output} {closing}")
    assert done.returncode == 0, done.stderr
    assert_readable(output, 1)


def test_a_result_that_cannot_be_written(recorded: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, "list", "--recordings", str(recorded)], stdout=full,
                              stderr=subprocess.PIPE, env=environment(), check=False,
                              timeout=PATIENCE_S)
    assert done.returncode == STORE
    assert done.stderr == b"fieldrec: cannot write the result to stdout: No space left on device\n"


def test_a_command_that_is_interrupted_stops_in_order(output: Path) -> None:
    running = subprocess.Popen([*COMMAND, "record", "--camera", SMALL, "--duration", "60",
                                "--output", str(output)], env=environment(), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stderr is not None
    with running:
        while "recording recording_" not in running.stderr.readline():
            pass
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130
    assert said.splitlines()[-1] == "fieldrec: interrupted; everything was stopped in order"
    assert_readable(output, 1)
