"""A look for errors of a drive's file system before it is mounted, and their repair where the
configuration allows it.

On the event loop; the checkers run in processes of their own with a time limit, so that a crafted
or dying drive costs a process, not the box. Never on a drive that anybody has mounted.

What counts as an error: a drive that was pulled out has an open journal, which mounting replays, or
a note that it was not put away: that alone is none. Where a file system says of itself that it was
put away in order it is not walked, which takes minutes on a full drive; the rest is looked at by
its own checker without a byte being written. A look that takes too long says nothing about the
drive: it is used, and that is said, for all that is written to it is compared anyway. Errors that
were found are another thing: what lies on the drive already may be lost by going on, so it is
rejected unless it could be mended without a question (`e2fsck -p`, never `-y`). A repair that was
cut short leaves it rejected. exFAT has no journal: pulled out while it is written it has errors,
most often in nothing but the copy that was under way. Those are mended whatever is configured:
going on over them could break what is copied next, and nothing but our unfinished work is touched.
"""

from __future__ import annotations

import enum
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fieldrec.config.drives import DrivesConfig
from fieldrec.core.durable import PART_PREFIX
from fieldrec.core.errors import DriveRejected
from fieldrec.drives.mounts import mounts_of
from fieldrec.drives.programs import MOST_OUTPUT_BYTES, Ended, run_heard
from fieldrec.drives.table import Key
from fieldrec.drives.udev import BlockDevice
from fieldrec.drives.work import DriveWork

READ_TIMEOUT_S = 15.0
SECTOR_BYTES = 512
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


class Finding(enum.Enum):
    """What a checker makes of a file system."""

    SOUND = "sound"
    ERRORS = "errors"
    ASLEEP = "asleep"
    """A Windows that hibernates has it open."""
    UNKNOWN = "unknown"
    """The checker could not say."""


@dataclass(frozen=True, slots=True)
class Checker:
    """How one type of file system is looked at, and mended."""

    look: tuple[str, ...]
    """Program and options; the device comes after."""
    package: str
    """Where Debian has the program."""
    judge: Callable[[Ended], Finding]
    mend: tuple[str, ...] = ()
    """The same for what can be mended without a question; (): nothing can."""
    by_hand: str = ""
    """What to do on a computer."""
    error: str = ""
    """How a line that names an error begins, before the path; "": the lines do not tell."""


def which(program: str) -> str | None:
    """Where a program is, also in the folders of the administrator's."""
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), *_SBIN]))


class FileSystemCheck:
    """Looks at each drive before it is mounted. `say(text, severity)` tells the people."""

    def __init__(self, config: DrivesConfig, work: DriveWork, say: Callable[[str, str], None], *,
                 find: Callable[[str], str | None] = which) -> None:
        self._config = config
        self._work = work
        self._say = say
        self._find = find
        self._said: set[str] = set()

    async def make_sure(self, key: Key, block: BlockDevice, name: str) -> None:
        """Return when the drive may be mounted; DriveRejected, with what to do, when it has errors.

        Nothing is written but by a repair that `drives.check` asks for. DriveBusy when the drive
        does not answer."""
        checker = CHECKERS.get(block.fs_type)
        if self._config.check == "never" or checker is None or mounts_of(block.device,
                                                                         block.number):
            return
        try:
            begin = await self._work.run(key, lambda _stop: _first_sector(block.device),
                                         READ_TIMEOUT_S, f"drive {name} does not answer")
        except PermissionError:
            self._say_once("drives are used without a look for errors of their file systems: only "
                           "root may read the devices")
            return
        if put_away(begin):
            return
        ended = await self._run(checker, checker.look, block)
        if ended is None:
            return
        if ended.timed_out:
            self._say(f"drive {name}: the look for errors of its file system did not end in "
                      f"{self._config.check_s:g} s; it is used all the same", "warning")
            return
        match _judged(checker, ended):
            case Finding.ERRORS:
                await self._mend(checker, block, name, ours=self._is_unfinished(checker, ended))
            case Finding.ASLEEP:
                raise DriveRejected("a Windows that only sleeps has it open; shut Windows down "
                                    "wholly (Shift and Shut down), then put it in again")
            case Finding.UNKNOWN:
                self._say(f"drive {name}: not looked at for errors of its file system "
                          f"({checker.look[0]} ended with {ended.code}); it is used all the same",
                          "warning")

    def _is_unfinished(self, checker: Checker, ended: Ended) -> bool:
        """Whether every error is in a copy of ours that was not finished."""
        begin = f"{checker.error}/{self._config.folder}/{PART_PREFIX}"
        lines = [line for line in ended.text.splitlines() if line.startswith(checker.error)]
        whole = len(ended.text) < MOST_OUTPUT_BYTES - 1
        return (checker.error != "" and ended.code >= 0 and whole and bool(lines)
                and all(line.startswith(begin) for line in lines))

    async def _mend(self, checker: Checker, block: BlockDevice, name: str, *, ours: bool) -> None:
        """Repair what was found, or DriveRejected. `ours`: only unfinished work of ours has it."""
        again = f"{checker.by_hand.format(device=block.device)}, then put it in again"
        if not checker.mend:
            raise DriveRejected(f"its file system has errors; {again}")
        if self._config.check != "repair" and not ours:
            raise DriveRejected(f"its file system has errors; set drives.check to repair, or "
                                f"{again}")
        ended = await self._run(checker, checker.mend, block)
        if ended is not None and ended.timed_out:
            raise DriveRejected("its file system has errors, whose repair did not end in "
                                f"{self._config.check_s:g} s (drives.check_s); {again}")
        if ended is None or _judged(checker, ended) is not Finding.SOUND:
            raise DriveRejected("its file system has errors that cannot be mended without "
                                f"questions; {again}")
        where = "had errors in copies that were not finished" if ours else "had errors"
        self._say(f"drive {name}: its file system {where}; they were mended by "
                  f"{' '.join(checker.mend)}", "warning")

    async def _run(self, checker: Checker, command: tuple[str, ...], block: BlockDevice
                   ) -> Ended | None:
        """None where the program is not to be had, which is said once."""
        program = self._find(command[0])
        if program is not None:
            return await run_heard(program, *command[1:], block.device,
                                   timeout_s=self._config.check_s)
        self._say_once(f"{block.fs_type} drives are used without a look for errors: {command[0]} "
                       f"is not installed (package {checker.package})")
        return None

    def _say_once(self, text: str) -> None:
        """About this machine, not about a drive."""
        if text not in self._said:
            self._said.add(text)
            self._say(text, "warning")


def put_away(begin: bytes) -> bool:
    """Whether a file system says, in its first sector, that it was put away in order and has no
    errors noted. exFAT: the bits VolumeDirty and MediaFailure; FAT: Linux' and Windows' bits for
    the same. False for those that have no such note there."""
    if begin[3:11] == b"EXFAT   ":
        return not begin[106] & 0b110
    for kind, at in ((b"FAT32", 0x52), (b"FAT16", 0x36), (b"FAT12", 0x36)):
        if begin[at:at + 5] == kind:
            return not begin[0x41 if kind == b"FAT32" else 0x25] & 0b11
    return False


def _first_sector(device: str) -> bytes:
    with Path(device).open("rb", buffering=0) as file:
        return (file.read(SECTOR_BYTES) or b"").ljust(SECTOR_BYTES, b"\0")


def _judged(checker: Checker, ended: Ended) -> Finding:
    """A checker that breaks on a file system says more than one that finds errors."""
    return Finding.ERRORS if ended.code < 0 else checker.judge(ended)


def _by_code(ended: Ended) -> Finding:
    """fsck(8): 0 sound, 1 mended, 4 errors left; anything else is about the checker."""
    if ended.code in (0, 1):
        return Finding.SOUND
    return Finding.ERRORS if ended.code & 4 else Finding.UNKNOWN


_FAT_NOTES = ("fsck.fat ", "Dirty bit is set", " Automatically removing dirty bit",
              "Leaving filesystem unchanged", "There are differences between boot sector",
              "This is mostly harmless", "  65:01/00", "  Not automatically fixing this")
"""What it says of a drive that was pulled out, and nothing else; the last line is a summary."""


def _fat(ended: Ended) -> Finding:
    """Exit code 1 is also that of a drive that was only pulled out."""
    if ended.code != 1:
        return Finding.SOUND if ended.code == 0 else Finding.UNKNOWN
    *lines, _summary = [line for line in ended.text.splitlines() if line] or [""]
    noted = all(line.startswith(_FAT_NOTES) for line in lines)
    return Finding.SOUND if noted else Finding.ERRORS


def _fat_mended(ended: Ended) -> Finding:
    """The look and the repair have the same exit code: what the repair changed it says."""
    if "*** Filesystem was changed ***" in ended.text and ended.code == 1:
        return Finding.SOUND
    return _fat(ended)


_PROBED = {0: Finding.SOUND, 13: Finding.ERRORS, 14: Finding.ASLEEP, 15: Finding.SOUND}
"""ntfs-3g.probe(8): can be mounted, inconsistent, hibernated, pulled out (its journal is replayed);
the rest is about the program."""


def _ntfs(ended: Ended) -> Finding:
    return _PROBED.get(ended.code, Finding.UNKNOWN)


def _xfs(ended: Ended) -> Finding:
    """With an open log it reports errors that are none: mounting replays it."""
    if ended.code == 0 or "metadata changes in a log" in ended.text:
        return Finding.SOUND
    return Finding.ERRORS if ended.code == 1 else Finding.UNKNOWN


def _btrfs(ended: Ended) -> Finding:
    """1 is for everything that goes wrong."""
    if ended.code == 0:
        return Finding.SOUND
    ours = any(words in ended.text for words in ("Permission denied", "busy", "currently mounted"))
    return Finding.UNKNOWN if ours else Finding.ERRORS


_EXT = Checker(("e2fsck", "-n"), "e2fsprogs", _by_code, ("e2fsck", "-p"),
               "mend it on a computer (`e2fsck {device}`)")
CHECKERS = {
    "ext4": _EXT, "ext3": _EXT, "ext2": _EXT,
    "exfat": Checker(("fsck.exfat", "-n"), "exfatprogs", _by_code, ("fsck.exfat", "-p"),
                     "mend it on a computer (`fsck.exfat {device}`, or chkdsk on Windows)",
                     "ERROR: "),
    "vfat": Checker(("fsck.vfat", "-n"), "dosfstools", _fat_mended, ("fsck.vfat", "-a"),
                    "mend it on a computer (`fsck.vfat {device}`, or chkdsk on Windows)"),
    # Neither has a repair that needs no questions: ntfsfix empties the journal, xfs_repair and
    # btrfs check --repair are for people who have read what they say.
    "ntfs": Checker(("ntfs-3g.probe", "--readwrite"), "ntfs-3g", _ntfs,
                    by_hand="check it on Windows (chkdsk)"),
    "xfs": Checker(("xfs_repair", "-n"), "xfsprogs", _xfs,
                   by_hand="mend it on a computer (`xfs_repair {device}`)"),
    "btrfs": Checker(("btrfs", "check", "--readonly"), "btrfs-progs", _btrfs,
                     by_hand="save what is on it, and format it"),
}
