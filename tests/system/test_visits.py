"""Visits of drives as their owner sees them: a real daemon, udev, loop devices. What does not fit
goes to the next drive, moves go to drives that are known, a README lies at the top of each."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldrec.status.drive_readme import FIRST_LINE
from tests.fakes.small_stores import make_store
from tests.system.box import Box, unfinished
from tests.system.udevd import Udevd

pytestmark = pytest.mark.root
NAMES = [f"old_20261121_06{minute:02}00" for minute in range(5)]


def told(now: Any) -> list[str]:
    return [event["text"] for event in now["events"]]


def safe(now: Any, label: str) -> Any:
    """The drive when it may be taken out; None before."""
    return next((drive for drive in now["drives"]
                 if (drive["label"], drive["state"]) == (label, "safe to remove")), None)


@contextmanager
def looked_into(udevd: Udevd, image: Path, point: Path, how: str = "ro", program: str = "mount"
                ) -> Iterator[Path]:
    """Mounted, for a while, as on another computer."""
    point.mkdir(exist_ok=True)
    device = udevd.insert(image)
    subprocess.run([program, "-o", how, device, str(point)], check=True, capture_output=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", str(point)], check=True)
        udevd.take_out(device)


def test_moves_to_known_drives_as_far_as_they_fit_and_the_rest_to_the_next(
        udevd: Udevd, tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for seed, name in enumerate(NAMES, 1):
        make_store(recordings, name, frames=300, seed=seed)
    small = udevd.image(label="FIELD-1", size_mb=4)
    large = udevd.image(label="FIELD-2", size_mb=32)
    rules = {"on_insert": "copy", "rules": [{"drive": "label:field-*", "on_insert": "move"}]}
    with Box(tmp_path, match=udevd.match, export={"automatic": False}, drives=rules) as box:
        slot = udevd.slot()
        device = udevd.insert(small, slot=slot)
        now = box.until(lambda now: safe(now, "FIELD-1"), "the first drive is full")
        udevd.take_out(device)
        left = sorted(path.name for path in recordings.iterdir() if path.name.startswith("old"))
        assert 0 < len(left) < len(NAMES) and left == NAMES[-len(left):]  # the oldest went
        assert {job["state"] for job in now["jobs"]} == {"done"}  # none was begun in vain
        assert len(now["jobs"]) == len(NAMES) - len(left)
        said = " | ".join(told(now))
        assert f"of {len(NAMES)} recordings fit" in said and "use another drive" in said
        assert f"{len(left)} did not fit" in safe(now, "FIELD-1")["reason"]
        device = udevd.insert(large, slot=slot)  # the kernel calls it as the one before
        now = box.until(lambda now: safe(now, "FIELD-2"), "the second drive has the rest")
        udevd.take_out(device)
        assert not [text for text in told(now) if "not written" in text]
        assert not list(recordings.glob("old*"))
        assert safe(now, "FIELD-2")["reason"].startswith(f"{len(left)} recordings, ")
        assert any("moved and verified" in text for text in told(now))
    with looked_into(udevd, small, tmp_path / "elsewhere") as point:
        readme = (point / "README.txt").read_text()
        assert all(name in readme for name in NAMES[:-len(left)])
        assert not any(name in readme for name in left)
        assert (point / "fieldrec-report-testbox.html").stat().st_size > 1000
        begin, end = readme.index("    import imgstore"), readme.index("\n\nfieldrec.store reads")
        read = textwrap.dedent(readme[begin:end]) + "\nprint(frame_number, store.frame_count)"
        assert subprocess.run([sys.executable, "-c", read], cwd=point, check=True, text=True,
                              capture_output=True).stdout == "0 300\n"  # by the real imgstore
        there = [path.name for path in (point / "fieldrec").iterdir()]
        assert sorted(name for name in there if name.startswith("old")) == NAMES[:-len(left)]


def test_an_unknown_drive_gets_copies_and_is_told_why(udevd: Udevd, tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    make_store(recordings, NAMES[0])
    image = udevd.image(label="STICK")
    with looked_into(udevd, image, tmp_path / "elsewhere", "rw") as point:
        (point / "README.txt").write_text(f"{FIRST_LINE}\n")
    with Box(tmp_path, match=udevd.match, export={"automatic": False},
             drives={"on_insert": "move", "eject": False}) as box:
        device = udevd.insert(image)
        now = box.until(lambda now: now["jobs"] and not unfinished(now)
                        and any("verified" in text for text in told(now)), "it has its copy")
        assert (recordings / NAMES[0]).exists()
        assert [job["kind"] for job in now["jobs"]] == ["copy"]
        assert any(f"fieldrec drive prepare {device}" in text for text in told(now))
        assert now["drives"][-1]["state"] == "ready"  # it stays in use
        offer = box.command("copy-all", "--to", device, "--dry-run")
        assert "1 there already" in offer
        box.command("copy-all", "--to", "STICK")
        assert box.command("eject").startswith("SAFE TO REMOVE STICK")
        with pytest.raises(AssertionError, match="STICK is safe to remove; take it out"):
            box.ask("eject", drive="STICK")
        assert not any("README" in text for text in told(box.ask("snapshot")))
        udevd.take_out(device)
    with looked_into(udevd, image, tmp_path / "elsewhere") as point:
        assert NAMES[0] in (point / "README.txt").read_text()  # not the one of an earlier time
