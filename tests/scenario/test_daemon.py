"""The daemon as a person has it: started, asked over its socket, stopped, killed, started again."""

from __future__ import annotations

import json
import random
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import imgstore
import pytest

from tests.fakes.clips import write_clip
from tests.fakes.commands import (
    COMMAND,
    Daemon,
    daemon,
    environment,
    fieldrec,
    fieldrec_json,
    leftovers,
    refused,
    write_config,
)
from tests.fakes.small_stores import contents, make_store
from tests.fakes.waiting import PATIENCE_S

BIG = {"big": {"backend": "synthetic", "options": {"width": 640, "height": 480, "hz": 100}}}


def names_in(folder: Path) -> set[str]:
    """What was recorded and made of it; the logbook and the history of the whole come along to
    every destination."""
    return {path.name for path in folder.iterdir()
            if not path.name.startswith(".") and path.name not in ("logbook", "ascmhl")}


def assert_all_right(*folders: Path) -> None:
    """Every recording in these folders is whole, for us and for the real imgstore; nothing
    unfinished is there."""
    for folder in folders:
        assert leftovers(folder) == []
        assert fieldrec_json("check", "--deep", "--recordings", folder) == []
        for path in (*folder.glob("*/metadata.yaml"), *folder.glob("*/*/metadata.yaml")):
            store = imgstore.new_for_filename(str(path))
            try:
                for _ in range(store.frame_count):
                    store.get_next_image()
                assert store.frame_count > 0
            finally:
                store.close()


def record(box: Daemon, frames: int = 12, name: str = "bees") -> list[str]:
    """One recording of every camera; its names."""
    names: list[str] = box.ask("start", name=name, metadata={"bird": "dove"})
    box.recorded(frames, *names)
    assert sorted(box.ask("stop")) == sorted(names)
    return names


# -- a life ----------------------------------------------------------------------------------------


def test_a_whole_life_over_the_socket(tmp_path: Path) -> None:
    config = write_config(tmp_path, destinations={"usb": {"path": "usb"}})
    usb, recordings = tmp_path / "usb", tmp_path / "recordings"
    usb.mkdir()
    where = ("--config", config)
    with daemon(config) as box:
        assert stat.S_IMODE(box.socket.stat().st_mode) == 0o600
        started = fieldrec("start", "--name", "bees", "--meta", "bird=dove", *where)
        assert started.returncode == 0, started.stderr
        left, right = started.stdout.split()[1:]
        box.recorded(12)
        status = fieldrec_json("status", *where)
        assert (status["running"], status["recording"]) == (True, True)
        assert {r["state"] for r in status["recorders"]} == {"recording"}
        refused(fieldrec("start", *where), 6, "already recording")
        refused(fieldrec("delete", left, "--yes", *where), 6, "is being recorded")
        refused(fieldrec("export", left, *where), 6, "recording")
        assert set(fieldrec_json("stop", *where)) == {left, right}
        assert fieldrec_json("stop", *where) == []

        listed = {r["name"]: r for r in fieldrec_json("list", *where)}
        assert listed.keys() == {left, right}
        assert all(r["state"] == "complete" and r["frame_count"] >= 12 for r in listed.values())
        assert fieldrec_json("show", left, *where)["user_metadata"]["bird"] == "dove"

        (job,) = fieldrec_json("export", left, *where)
        assert job["state"] == "done"
        assert names_in(recordings) == {left, right, f"{left}.high.mp4", f"{left}.high.mp4.json"}
        again = fieldrec("export", left, *where)
        assert (again.returncode, again.stdout) == (0, f"already exported: {left}\n")
        before = contents(recordings / left)
        before.pop(".frames.index", None)  # a long one was looked at; whoever reads makes it anew
        (job,) = fieldrec_json("copy", left, "-d", "usb", *where)
        assert job["state"] == "done"
        assert contents(usb / left / left) == before
        assert {path.name for path in (usb / left).iterdir()} == {"ascmhl", left}
        (job,) = fieldrec_json("move", right, "-d", "usb", *where)
        assert job["state"] == "done"
        assert names_in(usb) == {left, right, f"{left}.high.mp4", f"{left}.high.mp4.json"}
        assert right not in names_in(recordings)
        (job,) = fieldrec_json("delete", left, "--yes", *where)
        assert job["state"] == "done"
        assert names_in(recordings) == set()
        assert [j["kind"] for j in fieldrec_json("jobs", *where)] == [
            "delete", "move", "copy", "export"]
        assert box.stop() == 0
    assert not box.socket.exists()
    assert_all_right(recordings, usb)


def test_a_relative_destination_is_the_callers(tmp_path: Path) -> None:
    config = write_config(tmp_path / "box")
    here = tmp_path / "here"
    (here / "usb").mkdir(parents=True)
    with daemon(config) as box:
        (name, _) = record(box)
        (job,) = fieldrec_json("copy", name, "-d", "./usb", "--config", config, cwd=here)
        assert job["destination"] == str(here / "usb")
        assert names_in(here / "usb") == {name}
        refused(fieldrec("copy", name, "-d", "usb", "--config", config, cwd=here), 5,
                "no destination 'usb'")


def test_jobs_wait_while_recording_with_a_reason_and_can_be_cancelled_and_retried(
        tmp_path: Path) -> None:
    config = write_config(tmp_path)
    where = ("--config", config)
    with daemon(config) as box:
        (name, other) = record(box)
        box.ask("start")
        (queued,) = fieldrec_json("export", name, "--no-wait", *where)
        box.wait_jobs(queued["id"], state="waiting")
        assert "recording" in box.ask("jobs")[0]["reason"]
        table = fieldrec("jobs", *where).stdout
        assert "waiting" in table
        assert box.ask("jobs")[0]["reason"] in table
        assert fieldrec("pause-job", queued["id"], *where).returncode == 0
        box.wait(lambda: "resume-job" in box.ask("jobs")[0]["reason"], "it says how to go on")
        assert fieldrec("resume-job", queued["id"], *where).returncode == 0
        box.wait(lambda: "recording" in box.ask("jobs")[0]["reason"], "it waits as before")
        assert fieldrec("cancel", queued["id"], *where).returncode == 0
        refused(fieldrec("cancel", queued["id"], *where), 6, "cancelled already")
        box.ask("stop")
        (job,) = fieldrec_json("export", other, *where)
        refused(fieldrec("retry", job["id"], *where), 6, "is done")
        assert f"{name}.high.mp4" not in names_in(tmp_path / "recordings")
        assert fieldrec("retry", queued["id"], *where).returncode == 0
        box.wait_jobs(queued["id"])
        assert f"{name}.high.mp4" in names_in(tmp_path / "recordings")
        assert box.stop() == 0


def test_autostart_records_at_once(tmp_path: Path) -> None:
    config = write_config(tmp_path, record={"autostart": True, "name": "dawn"})
    with daemon(config) as box:
        box.recorded(3)
        assert box.stop() == 0
    assert {name.split("_")[0] for name in names_in(tmp_path / "recordings")} == {"dawn"}
    assert_all_right(tmp_path / "recordings")


def test_a_camera_file_is_relative_to_the_configuration(tmp_path: Path) -> None:
    config = write_config(tmp_path, cameras={
        "clip": {"backend": "file", "options": {"path": "clips/a.mp4", "loop": True}}})
    (tmp_path / "clips").mkdir()
    write_clip(tmp_path / "clips" / "a.mp4")
    with daemon(config) as box:
        record(box, frames=5)
        assert box.stop() == 0
    assert_all_right(tmp_path / "recordings")


def test_a_folder_deeper_than_a_socket_address(tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 60) / ("b" * 60)
    config = write_config(deep)
    with daemon(config) as box:
        assert len(str(box.socket)) > 107
        record(box, frames=2)
        assert fieldrec_json("status", "--config", config)["running"] is True
        assert box.stop() == 0


# -- one at a time ---------------------------------------------------------------------------------


def test_a_second_daemon_on_the_folder_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with daemon(config) as box:
        box.ask("start")
        refused(fieldrec("run", "--config", config), 7, f"process {box.pid}")
        refused(fieldrec("record", "--camera", "synthetic", "--duration", 1, "--output",
                         tmp_path / "recordings"), 7, f"process {box.pid}")
        refused(fieldrec("recover", "--config", config), 7, f"process {box.pid}")
        box.recorded(3)
        assert box.stop() == 0
    assert_all_right(tmp_path / "recordings")


# -- clients that misbehave ------------------------------------------------------------------------


@pytest.mark.parametrize("line", [
    b"", b"\0\xff\xfe", b"GET / HTTP/1.1", b"[]", b"{}", b"null", b'{"verb": 5}', b"[" * 100_000,
    b'{"verb": "nosuch"}', b'{"verb": "start", "arguments": {"colour": "red"}}',
    b'{"verb": "start", "arguments": {"name": 5}}', b'{"verb": "start", "arguments": {"name": []}}',
    b'{"verb": "start", "arguments": {"duration_s": "soon"}}',
    b'{"verb": "start", "arguments": {"duration_s": -1}}',
    b'{"verb": "start", "arguments": {"metadata": 5}}',
    b'{"verb": "start", "arguments": {"metadata": {"fieldrec": 1}}}',
    b'{"verb": "start", "arguments": {"cameras": ["none"]}}',
    b'{"verb": "start", "arguments": {"cameras": 5}}',
    b'{"verb": "export", "arguments": {"names": 5}}',
    b'{"verb": "export", "arguments": {"names": null, "preset": 5}}',
    b'{"verb": "copy", "arguments": {"names": null, "destination": null}}',
    b'{"verb": "copy", "arguments": {"names": null, "destination": "/\\u0000"}}',
    b'{"verb": "cancel", "arguments": {"job_id": "x"}}',
    b'{"verb": "cancel", "arguments": {"job_id": {}}}',
    b'{"verb": "_check_open"}', b'{"verb": "eject", "arguments": {"drive": 5}}',
])
def test_garbage_on_the_socket_is_answered_and_harms_nothing(
        shared: Daemon, line: bytes) -> None:
    reply = shared.exchange(line)
    assert reply["ok"] is False
    assert reply["error"]["message"]
    assert reply["error"]["exit_code"] != 1
    assert shared.ask("snapshot")["recording"] is False
    assert "Traceback" not in shared.log


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterable[Daemon]:
    """One daemon for all the garbage."""
    with daemon(write_config(tmp_path_factory.mktemp("shared"))) as box:
        yield box
        assert box.stop() == 0


def test_endless_bytes_and_silent_clients_harm_nothing(shared: Daemon) -> None:
    with shared.connected() as endless, shared.connected() as silent, shared.connected() as half:
        silent.sendall(b'{"verb": "watch"}\n')
        half.sendall(b'{"verb": "sta')
        with pytest.raises(OSError):  # reset or broken pipe, as the kernel has it
            while True:
                endless.sendall(b"x" * 65536)
        assert shared.ask("snapshot")["recording"] is False


def test_a_client_that_does_not_read_harms_nothing(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with daemon(config) as box:
        box.ask("start", name="bees")
        clients = [socket.socket(socket.AF_UNIX) for _ in range(5)]
        try:
            for client in clients:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
                with box.connected():
                    connect(box, client)
                client.sendall(b'{"verb": "watch"}\n' + b'{"verb": "snapshot"}\n' * 2000)
            before = box.ask("snapshot")["recorders"][0]["frame_count"]
            box.recorded(before + 10)
            assert box.stop() == 0  # nor do they hold up the end
        finally:
            for client in clients:
                client.close()
    recordings = fieldrec_json("list", "--config", config)
    assert [(r["state"], r["dropped"], r["lost"]) for r in recordings] == [("complete", 0, 0)] * 2


def connect(box: Daemon, client: socket.socket) -> None:
    from fieldrec.status.control_socket import short_path

    with short_path(box.socket) as short:
        client.connect(short)


def test_a_command_that_waits_hears_that_the_daemon_was_killed(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with daemon(config) as box:
        (name, _) = record(box)
        box.ask("start")  # the export waits for its end
        waiting = subprocess.Popen([*COMMAND, "export", name, "--config", str(config)], text=True,
                                   stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   env=environment())
        with waiting:
            box.wait(lambda: box.ask("jobs"), "the export is queued")
            box.kill()
            _, said = waiting.communicate(timeout=PATIENCE_S)
    assert waiting.returncode == 6
    assert "fieldrec went away" in said.splitlines()[-1]
    assert "Traceback" not in said


def test_more_recordings_than_a_picture_holds_are_copied_in_one_command(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    usb = tmp_path / "usb"
    usb.mkdir()
    for seed in range(60):
        make_store(tmp_path / "recordings", f"r{seed:02}", frames=1, seed=seed)
    with daemon(config) as box:
        jobs = fieldrec_json("copy", "--all", "-d", usb, "--config", config)
        assert [job["state"] for job in jobs] == ["done"] * 60
        assert box.stop() == 0
    assert len(names_in(usb)) == 60


# -- the end ---------------------------------------------------------------------------------------


def busy_config(folder: Path) -> Path:
    """Copies take a while: 640x480 at 100 Hz."""
    (folder / "usb").mkdir(parents=True)
    return write_config(folder, cameras=BIG, destinations={"usb": {"path": "usb"}})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_whatever_it_does(tmp_path: Path, number: int) -> None:
    config = busy_config(tmp_path)
    with daemon(config) as box:
        names = record(box, frames=150)
        (export,) = box.ask("export", names=names)
        box.wait_jobs(export["id"], state="running")
        box.ask("copy", names=names, destination="usb")
        box.ask("start")
        box.recorded(5)
        box.signal(number)
        assert box.ended() == 0
        assert "Traceback" not in box.log, box.log
    assert_all_right(tmp_path / "recordings")
    assert leftovers(tmp_path / "usb") in ([], [str(tmp_path / "usb" / f".part-{names[0]}")])
    assert len(names_in(tmp_path / "recordings") & set(names)) == 1
    with daemon(config) as box:  # what was queued goes on
        box.wait(lambda: all(job["state"] == "done" for job in box.ask("jobs")), "jobs go on")
        assert box.stop() == 0
    assert_all_right(tmp_path / "recordings", tmp_path / "usb")
    assert f"{names[0]}.high.mp4.json" in names_in(tmp_path / "recordings")
    assert names[0] in names_in(tmp_path / "usb")


def test_a_second_signal_leaves_at_once(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with daemon(config) as box:
        box.ask("start")
        box.recorded(3)
        halt = threading.Event()
        while box._process.poll() is None:
            box.signal(signal.SIGTERM)
            halt.wait(0.001)
        assert box.ended() in (130, 0)  # 0: it was quicker than the second signal
    with daemon(config) as box:
        box.recovered()
        assert box.stop() == 0
    assert_all_right(tmp_path / "recordings")


# -- killed ----------------------------------------------------------------------------------------

MOMENTS = {"record": 0.4, "export": 0.9, "copy": 0.35, "move": 0.35}
"""Seconds, from the start of each piece of work, within which a kill falls."""


@pytest.mark.parametrize("work", MOMENTS)
@pytest.mark.parametrize("seed", range(1))
def test_killed_at_any_moment_it_completes_everything_at_the_next_start(
        tmp_path: Path, work: str, seed: int) -> None:
    config = busy_config(tmp_path)
    recordings, usb = tmp_path / "recordings", tmp_path / "usb"
    moment = threading.Event()
    after_s = random.Random(f"{work} {seed}").uniform(0, MOMENTS[work])
    with daemon(config) as box:
        names = record(box, frames=60)
        begin(box, work, names)
        moment.wait(after_s)
        box.kill()
    with daemon(config) as box:
        box.wait(lambda: all(job["state"] == "done" for job in box.ask("jobs")), "jobs go on")
        jobs = box.ask("jobs")
        assert len([j for j in jobs if j["kind"] == "export"]) <= 1
        assert box.stop() == 0
    assert_all_right(recordings, usb)
    (name,) = names
    match work:
        case "record":
            assert name in names_in(recordings)
        case "export":
            assert names_in(recordings) == {name, f"{name}.high.mp4", f"{name}.high.mp4.json"}
            sidecar = json.loads((recordings / f"{name}.high.mp4.json").read_text())
            store = imgstore.new_for_filename(str(recordings / name))
            assert sidecar["frame_count"] == store.frame_count
            store.close()
        case "copy":
            assert names_in(recordings) == names_in(usb) == {name}
        case "move":
            assert (names_in(recordings), names_in(usb)) == (set(), {name})


def test_killed_among_splits_it_goes_on_recording_and_nothing_is_left_open(tmp_path: Path) -> None:
    config = write_config(tmp_path, record={"autostart": True, "split_after": {"frames": 2}})
    recordings = tmp_path / "recordings"
    moment = threading.Event()
    for seed in range(3):
        with daemon(config) as box:
            box.recorded(6)
            moment.wait(random.Random(f"split {seed}").uniform(0, 0.1))
            box.kill()
    with daemon(config) as box:
        box.recovered()
        box.recorded(6)
        assert fieldrec("split", "--config", config).returncode == 0
        assert box.stop() == 0
    assert_all_right(recordings)
    assert len(names_in(recordings)) >= 4 * 2 * 2  # each life, each camera, some parts


def begin(box: Daemon, work: str, names: list[str]) -> None:
    if work == "record":
        box.ask("start", name="cut")
        return
    arguments: dict[str, Any] = {} if work == "export" else {"destination": "usb"}
    box.ask(work, names=names, **arguments)


def test_no_recording_is_exported_twice_over_restarts(tmp_path: Path) -> None:
    config = write_config(tmp_path, export={"automatic": True})
    recordings = tmp_path / "recordings"
    with daemon(config) as box:
        names = record(box)
        box.wait(lambda: [j["state"] for j in box.ask("jobs")] == ["done"] * 2, "exports")
        box.kill()
    made = {path.name: path.stat().st_mtime_ns for path in recordings.glob("*.mp4")}
    assert made.keys() == {f"{name}.high.mp4" for name in names}
    for path in (recordings / ".fieldrec").glob("jobs.sqlite*"):
        path.unlink()  # rows may be lost at any time
    with daemon(config) as box:
        box.ask("start", duration_s=0.2)
        box.wait(lambda: [j["state"] for j in box.ask("jobs")] == ["done"] * 2, "new exports")
        assert not {j["item"] for j in box.ask("jobs")} & set(names)
        assert box.stop() == 0
    assert {name: (recordings / name).stat().st_mtime_ns for name in made} == made
    assert_all_right(recordings)
