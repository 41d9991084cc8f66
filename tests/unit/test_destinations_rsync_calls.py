"""What rsync and the scripts are asked, and what comes back, with a real rsync and no network."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from fieldrec.config.destinations import RsyncConfig
from fieldrec.core.errors import DestinationAway, DestinationError, JobRefused, StoreDamaged
from fieldrec.destinations import _rsync, rsync
from fieldrec.destinations.rsync import UNKNOWN_BYTES, RsyncDestination
from fieldrec.jobs import transfer
from tests.fakes import near_ssh
from tests.fakes.copies import history
from tests.fakes.sources import Given

pytestmark = pytest.mark.skipif(shutil.which("rsync") is None,
                                reason="rsync is not installed: sudo apt install rsync")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that comes first in PATH, on both sides."""
    folder = near_ssh.install(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.fixture
def place(programs: Path, tmp_path: Path) -> RsyncDestination:
    there = tmp_path / "there"
    there.mkdir()
    return RsyncDestination("lab", RsyncConfig(type="rsync", target=f"box@lab:{there}"))


def install(programs: Path, name: str, text: str) -> None:
    path = programs / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def nothing(_count: int) -> None:
    pass


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_name_that_rsync_takes_for_a_pattern_is_refused(place: RsyncDestination, tmp_path: Path
                                                          ) -> None:
    """It would be written into `.part-bees 1`, if that was there."""
    (tmp_path / "there" / ".part-bees 1").mkdir()
    for name in ("bees [1]", "b*", "bee?", "b\\es"):
        with pytest.raises(JobRefused, match="takes for a pattern; rename it"):
            place.begin(name)
        assert place.committed(name) is None, "but it may be there, and is in nobody's way"
    assert list((tmp_path / "there" / ".part-bees 1").iterdir()) == []


ODD_NAMES = ["# c", "; c", "a\nb", "\\#012", "[a]", "*", "-n", "a|b", "% 5%", "  1,000  5%", "é",
             "\udcff", "\x1b[31m", " a ", "+ a", "!", "d\ne/f", "~", "'\"$`"]


def test_files_may_have_any_name(place: RsyncDestination, tmp_path: Path) -> None:
    source = Given(tmp_path / "source", {name: name.encode(errors="surrogateescape") * 9
                                         for name in ODD_NAMES})
    place.begin("bees")
    place.write("bees", source, nothing)
    place.drop("bees", ["# c", "a\nb", "*", "[a]"])
    assert place.begin("bees").keys() == set(ODD_NAMES) - {"# c", "a\nb", "*", "[a]"}
    place.write("bees", source, nothing)
    assert place.verify("bees", source, nothing) == []
    assert sorted(source.read) == sorted([*ODD_NAMES, "# c", "a\nb", "*", "[a]"])


@pytest.mark.skipif(shutil.which("rrsync") is None,
                    reason="rrsync is not installed: sudo apt install rsync")
def test_a_confined_key_copies_with_the_marker_first_and_the_manifest_last(
        programs: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    near_ssh.install(programs, confined_to=there)
    config = RsyncConfig(type="rsync", target="box@lab:/", shell=False)
    source = Given(tmp_path / "source", {"a b": b"one", "000000/it's": b"two"})
    place = RsyncDestination("lab", config)
    assert place.begin("my bees") == {}
    place.write("my bees", source, nothing)
    assert names(there) == [".part-my bees", "my bees"]
    assert (place.committed("my bees"), place.taken("my bees")) == (None, False)
    (there / "my bees" / "a b").write_bytes(b"onE")
    assert place.verify("my bees", source, nothing) == ["a b"]
    place.drop("my bees", ["a b"])
    place.write("my bees", source, nothing)
    assert place.verify("my bees", source, nothing) == []
    place.commit("my bees", history(b"{}"))
    assert place.committed("my bees") == b"{}"
    assert place.items() == ["my bees"]
    assert not place.proves
    with pytest.raises(JobRefused, match="nothing is deleted for it"):
        transfer.check_proves(place, threading.Event())
    assert names(there) == ["my bees"]
    counted = config.model_copy(update={"count_cached": True})
    transfer.check_proves(RsyncDestination("lab", counted), threading.Event())


def test_what_cannot_be_dropped_from_memory_there_is_not_verified(
        place: RsyncDestination, programs: Path, tmp_path: Path) -> None:
    """I5: a digest of what the disk was never asked for is none."""
    source = Given(tmp_path / "source", {"a": b"one", "b": b"two"})
    install(programs, "dd", f'case "$1" in */b|*/dev/null) exec {shutil.which("dd")} "$@";; '
                            "*) echo no drop >&2; exit 1;; esac")
    place.begin("bees")
    with pytest.raises(DestinationError, match="no drop"):
        place.write("bees", source, nothing)
    with pytest.raises(DestinationError, match="no drop"):
        place.verify("bees", source, nothing)


def test_a_source_that_is_gone_is_not_the_other_sides_fault(place: RsyncDestination, tmp_path: Path
                                                            ) -> None:
    source = Given(tmp_path / "source", {"a": b"one", "b": b"two"})
    source.files[1].path.unlink()
    place.begin("bees")
    with pytest.raises(StoreDamaged, match="source/b: is gone, or"):
        place.write("bees", source, nothing)


def test_a_share_with_blanks_in_its_name_has_room_too(place: RsyncDestination, programs: Path
                                                      ) -> None:
    install(programs, "df", "echo 'Filesystem 1024-blocks Used Available Capacity Mounted on'; "
                            "echo '//nas/all 12 bees      9000  5000  4000      56% /srv/2 3'")
    assert place.free_bytes() == 4000 * 1024
    install(programs, "df", "exit 0")
    assert place.free_bytes() == UNKNOWN_BYTES


def test_a_look_there_finds_that_rsync_is_missing(place: RsyncDestination, programs: Path) -> None:
    assert place.writable()
    install(programs, "rsync", "echo 'sh: 1: rsync: not found' >&2; exit 127")
    with pytest.raises(DestinationAway, match="rsync is not installed on lab"):
        place.writable()


def test_a_disk_there_that_hangs_lets_nobody_wait_for_ever(
        place: RsyncDestination, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rsync, "SILENCE", 0.001)
    install(programs, "df", "exec sleep 1000")
    with pytest.raises(DestinationAway, match="lab takes the connection, but does not answer"):
        place.free_bytes()


def test_scripts_are_run_by_sh_whatever_the_login_shell_is(place: RsyncDestination, programs: Path,
                                                           tmp_path: Path) -> None:
    install(programs, "ssh", f'for word; do :; done; echo "$word" > "{tmp_path}/word"; exit 0')
    place.free_bytes()
    word = (tmp_path / "word").read_text()
    assert word.startswith("exec env LC_ALL=C sh -c 'IFS= read -r d && cd ")
    for script in (rsync._THERE, rsync._FREE, rsync._WRITABLE, rsync._SETTLE, rsync._MOVE):
        assert "'" not in script and "!" not in script and "\n" not in script
