"""A drive whose label is an attack, through a real mkfs and a real udev: it acts on no channel.

Serial line, control socket (what every other program asks), commands in a terminal, the daemon's
log, and the files that are written onto the drive and beside the recordings.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.small_stores import make_store
from tests.system.box import Box, Console
from tests.system.test_field_box import state_of
from tests.system.udevd import Udevd

pytestmark = pytest.mark.root
LABEL = "\x1b[2J\u202e<b>\n../'"
SHOWN = "?[2J?<b>_../'"
"""What may be shown of it anywhere: as udev and drives/labels.printable leave it."""
COMMANDS = (["status"], ["jobs"], ["drive", "list"], ["list"])


@pytest.fixture
def console() -> Iterator[Console]:
    with Console() as console:
        yield console


def strings(value: Any) -> Iterator[str]:
    """Every text in what was answered, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def assert_tame(text: str, where: str) -> None:
    """Nothing but line ends does anything, and none of those is the label's."""
    wrong = [line for line in text.splitlines() if not line.isprintable()]
    assert not wrong, (where, wrong[:2])
    assert "<b>\n../" not in text, (where, "the label broke the line")


def test_a_label_that_is_an_attack(udevd: Udevd, tmp_path: Path, console: Console) -> None:
    (tmp_path / "recordings").mkdir()
    make_store(tmp_path / "recordings", "bees")
    image = udevd.image(label=LABEL)
    named = subprocess.run(["blkid", "-p", "-o", "value", "-s", "LABEL", image], check=True,
                           capture_output=True).stdout
    assert b"\x1b" in named or b"M-" in named or b"^[" in named, "control: it is on the drive"
    with Box(tmp_path, console, match=udevd.match) as box:
        udevd.insert(image)
        now = box.until(lambda now: state_of(now, SHOWN) == "safe to remove", "copied and ejected")
        console.until(f"SAFE TO REMOVE {SHOWN}")
        for text in strings(now):
            assert_tame(text, "control socket")
        for words in COMMANDS:
            assert_tame(box.command(*words), " ".join(words))
        assert SHOWN in box.command("drive", "list"), "control: it is shown"
        assert_tame(box.log(), "the daemon's log")
    for line in console.texts():  # each is also held against its checksum there
        assert_tame(line, "serial line")
    assert any(f"drv={SHOWN}:SAFE" in line for line in console.texts()), "control: it is shown"
    assert "\x1b" not in "".join(path.read_text() for path in (tmp_path / "recordings").rglob(
        "*.jsonl")), "the logbook"
