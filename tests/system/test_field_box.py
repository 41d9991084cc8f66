"""The whole box in the field: one `fieldrec run` with udev, drives, a serial console, a battery.

Each test is a story. Nothing is replaced but the boundary: drives are images on loop devices,
the serial line is a pty, the battery is a folder.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xxhash

from fieldrec.catalogue.verify import verify
from fieldrec.drives.mounts import mounts_of
from fieldrec.logbook.reading import find
from tests.fakes.copies import listed
from tests.fakes.small_stores import make_store
from tests.fakes.waiting import PATIENCE_S, wait_until
from tests.system.box import Battery, Box, Console, cameras, unfinished
from tests.system.udevd import Udevd, cannot_mount

pytestmark = pytest.mark.root
imgstore = pytest.importorskip("imgstore", reason="the imgstore package is the oracle")

TWO = cameras("left", "right")
NO_EXPORT = {"automatic": False}


@pytest.fixture
def console() -> Iterator[Console]:
    with Console() as console:
        yield console


@pytest.fixture
def battery(tmp_path: Path) -> Battery:
    return Battery(tmp_path / "power")


def watched(battery: Battery) -> dict[str, Any]:
    return {"path": str(battery.root), "poll_s": 0.1, "dwell_s": 0.3, "poweroff_command": "none"}


def state_of(now: Any, label: str) -> str:
    """The state of the newest drive with this label."""
    found = [drive["state"] for drive in now["drives"] if drive["label"] == label]
    return found[-1] if found else "none"


def record(box: Box, console: Console, name: str, frames: int = 30) -> list[str]:
    """A recording by the console's commands; the names of what was recorded."""
    console.type(f"start {name}")
    console.until(f"OK recording {name}_")
    box.until(lambda now: all(r["frame_count"] >= frames for r in now["recorders"]), "frames come")
    console.type("stop")
    return console.until(f"OK stopped {name}_").removeprefix("OK stopped ").split()


def assert_whole(folder: Path, names: list[str], *, exported: bool) -> None:
    """Every copy matches its manifest, and imgstore reads all of it."""
    assert [one.path for one in verify(folder) if not one.is_right] == []
    for name in names:
        files = listed(folder / name)
        assert files.keys() == {path.relative_to(folder / name).as_posix()
                                for path in (folder / name / name).rglob("*") if path.is_file()}
        for relative, told in files.items():
            data = (folder / name / relative).read_bytes()
            assert (len(data), xxhash.xxh64_hexdigest(data)) == told, relative
        if exported:
            movie = folder / f"{name}.high.mp4"
            sidecar = json.loads(movie.with_name(movie.name + ".json").read_text())
            assert sidecar["file"]["xxh64"] == xxhash.xxh64_hexdigest(movie.read_bytes())
        store = imgstore.new_for_filename(str(folder / name / name))
        try:
            assert store.frame_count > 0
            for _ in range(store.frame_count):
                store.get_next_image()
        finally:
            store.close()
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".part-")]


def check_drive(udevd: Udevd, image: Path, fs_type: str, point: Path, names: list[str], *,
                exported: bool) -> None:
    """Look at a drive that was taken out, as another computer would."""
    point.mkdir(exist_ok=True)
    device = udevd.insert(image)
    program = "mount" if fs_type == "ext4" else "mount.exfat-fuse"
    mounted = subprocess.run([program, "-o", "ro", device, str(point)], check=False,
                             capture_output=True, text=True)
    assert mounted.returncode == 0, mounted.stderr
    try:
        assert_whole(point / "fieldrec", names, exported=exported)
        (book,) = find(point)
        assert book.folder.parent.parent == point / "fieldrec" / "logbook"
    finally:
        subprocess.run(["umount", str(point)], check=True)
        udevd.take_out(device)


@pytest.mark.parametrize("fs_type", ["ext4", "exfat"])
def test_record_export_offload(udevd: Udevd, tmp_path: Path, console: Console, fs_type: str
                               ) -> None:
    """Two cameras are recorded and exported; a drive comes, gets all, and may be taken out."""
    if reason := cannot_mount(fs_type):
        pytest.skip(reason)
    image = udevd.image(fs_type)
    with Box(tmp_path, console, match=udevd.match, cameras=TWO) as box:
        names = record(box, console, "story")
        assert len(names) == 2
        box.until(lambda now: len(now["jobs"]) == 2 and not unfinished(now), "both are exported")
        device = udevd.insert(image)
        console.until("SAFE TO REMOVE FIELD")
        assert "SAFE TO REMOVE" in box.command("status")
        wait_until(lambda: any("drv=FIELD:SAFE" in line for line in console.texts()), PATIENCE_S,
                   "the status line says so too")
        assert not mounts_of(device, "-")
        udevd.take_out(device)
        jobs = {(job["kind"], job["state"]) for job in box.ask("snapshot")["jobs"]}
        assert jobs == {("export", "done"), ("copy", "done")}
    assert console.texts()[-1].startswith("FREC")
    check_drive(udevd, image, fs_type, tmp_path / "elsewhere", names, exported=True)


def test_a_drive_that_is_there_at_the_start_and_comes_back(udevd: Udevd, tmp_path: Path,
                                                           console: Console) -> None:
    """Served when the box starts; put in again it has nothing to get and is safe at once, with
    nothing written to it; a new recording travels at the visit after that."""
    (tmp_path / "recordings").mkdir()
    make_store(tmp_path / "recordings", "old_20261121_060000")
    image = udevd.image()
    device = udevd.insert(image)
    with Box(tmp_path, console, match=udevd.match, cameras=TWO, export=NO_EXPORT) as box:
        console.until("SAFE TO REMOVE FIELD")
        udevd.take_out(device)
        box.until(lambda now: state_of(now, "FIELD") == "absent", "it is out")
        before = image.read_bytes().count(b"<ascmhldirectory")
        device = udevd.insert(image)
        now = box.until(lambda now: state_of(now, "FIELD") == "safe to remove", "safe again")
        assert [job["state"] for job in now["jobs"]] == ["done", "done"]
        udevd.take_out(device)
        assert image.read_bytes().count(b"<ascmhldirectory") == before
        names = record(box, console, "new")
        device = udevd.insert(image)
        box.until(lambda now: len(now["jobs"]) == 5 and state_of(now, "FIELD") == "safe to remove",
                  "the third visit ends")
        udevd.take_out(device)
    safe = [text for text in console.texts() if text.startswith("SAFE TO REMOVE FIELD")]
    assert len(safe) == 3 and safe[1] == "SAFE TO REMOVE FIELD"  # it had all
    check_drive(udevd, image, "ext4", tmp_path / "elsewhere", ["old_20261121_060000", *names],
                exported=False)


def test_pulled_out_in_the_middle_of_a_copy(udevd: Udevd, tmp_path: Path, console: Console
                                            ) -> None:
    """The copy waits and says for what; the recording loses nothing; back again, it goes on."""
    (tmp_path / "recordings").mkdir()
    names = [f"old_20261121_06{minute:02}00" for minute in range(25)]
    for seed, name in enumerate(names):
        make_store(tmp_path / "recordings", name, frames=80, seed=seed + 1)
    image = udevd.image(size_mb=256)
    with Box(tmp_path, console, match=udevd.match, cameras=TWO, export=NO_EXPORT) as box:
        console.type("start kept")
        console.until("OK recording kept_")
        device = udevd.insert(image)
        box.until(lambda now: any(job["state"] == "done" for job in now["jobs"]), "one is copied")
        udevd.pull(device)
        now = box.until(lambda now: state_of(now, "FIELD") == "absent" and unfinished(now)
                        and {job["state"] for job in unfinished(now)} == {"waiting"}, "jobs wait")
        assert now["recording"]
        assert {job["reason"] for job in unfinished(now)} == {"drive FIELD not present"}
        wait_until(lambda: any("job=wait:drive" in line for line in console.texts()), PATIENCE_S,
                   "the console says why")
        device = udevd.insert(image)
        console.until("SAFE TO REMOVE FIELD")
        udevd.take_out(device)
        now = box.ask("snapshot")
        assert {job["state"] for job in now["jobs"]} == {"done"}
        assert now["recording"]
        console.type("stop")
        recorded = console.until("OK stopped").split()[2:]
        assert [(r["lost"], r["dropped"]) for r in box.ask("snapshot")["recorders"]] == [(0, 0)] * 2
    assert len(recorded) == 2
    assert_recorded_without_gap(tmp_path / "recordings", recorded)
    check_drive(udevd, image, "ext4", tmp_path / "elsewhere", names, exported=False)


def assert_recorded_without_gap(recordings: Path, names: list[str]) -> None:
    for name in names:
        store = imgstore.new_for_filename(str(recordings / name))
        try:
            numbers = store.get_frame_metadata()["frame_number"]
            assert numbers == list(range(numbers[0], numbers[0] + store.frame_count))
        finally:
            store.close()


def test_critical_battery_closes_the_recording_and_mains_bring_it_back(
        udevd: Udevd, tmp_path: Path, console: Console, battery: Battery) -> None:
    """At CRITICAL the store is complete and jobs wait; on mains both go on, the recording under
    the name that it was started with."""
    with Box(tmp_path, console, match=udevd.match, cameras=TWO, export=NO_EXPORT,
             power=watched(battery)) as box:
        console.type("start cut")
        first = console.until("OK recording cut_").split()[2:]
        box.until(lambda now: all(r["frame_count"] >= 10 for r in now["recorders"]), "frames come")
        battery.drains(10)
        box.until(lambda now: now["power"]["level"] == "critical" and not now["recording"],
                  "the recording is closed")
        assert not list(box.recordings.glob("*/.lock"))
        console.type("start never")
        assert "critical" in console.until("ERR recording refused")
        device = udevd.insert(udevd.image())
        now = box.until(lambda now: [job["state"] for job in now["jobs"]] == ["waiting"] * 2,
                        "copies wait")
        assert all(job["reason"].startswith("battery CRITICAL, 10 %") for job in now["jobs"])
        battery.mains()
        console.until("SAFE TO REMOVE FIELD")
        udevd.take_out(device)
        now = box.until(lambda now: now["recording"], "the recording goes on")
        assert all(r["recording"].startswith("cut_") for r in now["recorders"])
        assert not {r["recording"] for r in now["recorders"]} & set(first)
        console.type("stop")
        console.until("OK stopped cut_")
    assert "battery critical" in box.log() or any("pwr=CRITICAL" in t for t in console.texts())
    assert_recorded_without_gap(box.recordings, first)


def test_a_stop_at_critical_is_kept_and_low_makes_jobs_wait(
        udevd: Udevd, tmp_path: Path, console: Console, battery: Battery) -> None:
    """Who says stop while the battery is empty means it. At LOW drives wait too."""
    (tmp_path / "recordings").mkdir()
    make_store(tmp_path / "recordings", "old_20261121_060000")
    battery.drains(20)
    with Box(tmp_path, console, match=udevd.match, cameras=TWO, export=NO_EXPORT,
             power=watched(battery)) as box:
        udevd.insert(udevd.image())
        now = box.until(lambda now: [job["state"] for job in now["jobs"]] == ["waiting"],
                        "the copy waits")
        assert now["jobs"][0]["reason"].startswith("battery LOW")
        console.type("start cut")
        console.until("OK recording cut_")
        battery.drains(8)
        box.until(lambda now: now["power"]["level"] == "critical" and not now["recording"],
                  "the recording is closed")
        console.type("stop")
        console.until("OK nothing was recording")
        battery.mains()
        console.until("SAFE TO REMOVE FIELD")
        assert not box.ask("snapshot")["recording"]


def test_stopped_while_a_drive_is_ejected(udevd: Udevd, tmp_path: Path, console: Console) -> None:
    """Somebody's eject waits for an open file; the stop waits for the eject, nothing stays
    mounted."""
    with Box(tmp_path, console, match=udevd.match, drives={"on_insert": "nothing"}) as box:
        udevd.insert(udevd.image())
        now = box.until(lambda now: state_of(now, "FIELD") == "ready", "mounted")
        held = os.open(now["drives"][0]["mount_point"], os.O_RDONLY)
        try:
            console.type("eject")
            box.until(lambda now: state_of(now, "FIELD") == "ejecting", "the eject waits")
            box.terminate()
            wait_until(lambda: any(",stop=1," in line for line in console.texts()), PATIENCE_S,
                       "the stop has begun")
            assert state_of(box.ask("snapshot"), "FIELD") == "ejecting"  # it is not taken by force
        finally:
            os.close(held)
    console.until("SAFE TO REMOVE FIELD")  # the eject that was in hand has ended well


def test_power_off_after_the_orderly_stop(tmp_path: Path, console: Console, battery: Battery
                                          ) -> None:
    """At CRITICAL, where it is configured: recordings closed, fieldrec ended, then the command."""
    off = tmp_path / "off"
    power = watched(battery) | {"poweroff_command": ["cp", "-r", str(tmp_path / "recordings"),
                                                     str(off)]}
    with Box(tmp_path, console, cameras=TWO, export=NO_EXPORT, power=power) as box:
        console.type("start last")
        names = console.until("OK recording last_").split()[2:]
        box.until(lambda now: all(r["frame_count"] >= 5 for r in now["recorders"]), "frames come")
        battery.drains(5)
        assert box.process is not None
        assert box.process.wait(PATIENCE_S) == 0
        assert any(",stop=1," in line for line in console.texts())
    assert_recorded_without_gap(off, names)
    assert not list(off.glob("*/.lock"))


def test_exports_wait_on_battery(tmp_path: Path, console: Console, battery: Battery) -> None:
    """They say what for, and go on at mains."""
    battery.drains(80)
    with Box(tmp_path, console, cameras=TWO, power=watched(battery)) as box:
        record(box, console, "story", frames=5)
        now = box.until(lambda now: [job["state"] for job in now["jobs"]] == ["waiting"] * 2,
                        "exports wait")
        assert {job["reason"] for job in now["jobs"]} == {
            "on battery (80 %); exports run on mains"}
        wait_until(lambda: any("job=wait:on battery (80 %)" in line for line in console.texts()),
                   PATIENCE_S, "the console says why")
        battery.mains()
        box.until(lambda now: not unfinished(now), "exports are done")
        assert len(list(box.recordings.glob("*.high.mp4.json"))) == 2


def test_a_copy_goes_beside_an_export_that_is_held(udevd: Udevd, tmp_path: Path, console: Console,
                                                   battery: Battery) -> None:
    """A drive does not wait for mains because an export of the same recording does."""
    slow = cameras("left")
    slow["left"]["options"] |= {"paced": False, "frames": 6000, "width": 320, "height": 240}
    with Box(tmp_path, console, match=udevd.match, cameras=slow, power=watched(battery),
             store={"chunksize": 1000}) as box:
        console.type("start long")
        console.until("OK recording long_")
        box.until(lambda now: any(job["state"] == "running" and job["done_bytes"]
                                  for job in now["jobs"]), "the export runs")
        battery.drains(80)
        box.until(lambda now: [job["state"] for job in now["jobs"]] == ["waiting"], "it is held")
        udevd.insert(udevd.image(size_mb=1024))
        console.until("SAFE TO REMOVE FIELD")
        now = box.ask("snapshot")
        assert {job["kind"]: job["state"] for job in now["jobs"]} == {
            "copy": "done", "export": "waiting"}


def test_a_peer_that_never_reads_harms_nothing(udevd: Udevd, tmp_path: Path, console: Console
                                               ) -> None:
    """One line is read, the other never: recording, offload and stop are as ever."""
    with Console(reads=False) as deaf:
        with Box(tmp_path, deaf, console, match=udevd.match, cameras=TWO,
                 export=NO_EXPORT) as box:
            # Only now: opening a port empties it, and the kernel takes a while to pass bytes on.
            wait_until(lambda: deaf.unread() > 0, PATIENCE_S, "the daemon has opened the port")
            wait_until(deaf.stuffed, PATIENCE_S, "the line is full")
            names = record(box, console, "story")
            device = udevd.insert(udevd.image())
            console.until("SAFE TO REMOVE FIELD")
            udevd.take_out(device)
            console.type("start again")
            console.until("OK recording again_")
            now = box.until(lambda now: now["recorders"][0]["frame_count"] > 20, "frames go on")
            assert [(r["lost"], r["dropped"]) for r in now["recorders"]] == [(0, 0)] * 2
            assert not [problem for _, problem in now["parts"] if problem]
        assert len(names) == 2


def test_two_drives_and_a_refused_eject(udevd: Udevd, tmp_path: Path, console: Console) -> None:
    """A drive that somebody holds open does not keep the other waiting, and says who holds it."""
    (tmp_path / "recordings").mkdir()
    for seed in range(10):
        make_store(tmp_path / "recordings", f"old_20261121_06000{seed}", frames=100, seed=seed + 1)
    with Box(tmp_path, console, match=udevd.match, export=NO_EXPORT) as box:
        udevd.insert(udevd.image(label="HELD"))
        now = box.until(lambda now: now["drives"] and now["drives"][0]["mount_point"], "mounted")
        held = os.open(now["drives"][0]["mount_point"], os.O_RDONLY)
        try:
            box.until(lambda now: f"({os.getpid()})" in now["drives"][0]["reason"],
                      "it says who holds the drive")
            udevd.insert(udevd.image(label="OTHER"))
            console.until("SAFE TO REMOVE OTHER")
            assert state_of(box.ask("snapshot"), "HELD") == "ready"
        finally:
            os.close(held)
        console.type("eject HELD")
        console.until("OK SAFE TO REMOVE HELD")
        assert {job["state"] for job in box.ask("snapshot")["jobs"]} == {"done"}
