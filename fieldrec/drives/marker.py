"""The marker on a drive, `.fieldrec-destination`: a recorder's word that the drive may be trusted.

Blocks on the drive and on the recordings' disk; called in a drive's own thread and by `fieldrec
drive`. Ids and labels of file systems are cloned easily, so the marker carries an HMAC-SHA256 over
the id of the file system and all that it says, by a key that only this recorder has: a marker that
was copied to another drive, edited, or written by another recorder is not ours, and not followed. A
drive cloned whole, id and all, is not told from the first. The drive is a stranger's: the marker is
opened without following links or waiting for a pipe's other end, and read with limits; what it
holds is taken for nothing but values that are checked.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from fieldrec.config.drives import OnInsert, check_camera
from fieldrec.core import durable
from fieldrec.core.errors import DriveError, DriveRejected, StoreError
from fieldrec.core.folder import DRIVES_KEY_NAME, PRIVATE_NAME
from fieldrec.core.model import DriveMarker
from fieldrec.drives.labels import printable

NAME = ".fieldrec-destination"
LARGEST_BYTES = 4096
MOST_CAMERAS = 64
LONGEST_OWNER = 80
FORMAT = 1
KEY_BYTES = 32
_ID = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
_NO_FILE = frozenset({errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EACCES, errno.EPERM})
"""What opening a link, a socket, a device, or what is not ours to read comes to."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Found:
    """What lies under the marker's name at the root of a drive."""

    marker: DriveMarker | None
    problem: str = ""
    """Why what lies there is no marker, for people; "" when it is one, or nothing is there."""


def read(root: Path, fs_uuid: str, keys: Sequence[bytes]) -> Found:
    """The marker of the drive whose file system is mounted at `root`; never raises for what is on
    the drive. OSError when the drive does not answer as it should."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        text = _text(folder)
    except FileNotFoundError:
        return Found(None)
    except _NoMarkerError as error:
        return Found(None, f"{NAME} on it {error}; it counts as not marked")
    finally:
        os.close(folder)
    try:
        return Found(_parsed(text, fs_uuid, keys))
    except _NoMarkerError as error:
        return Found(None, f"{NAME} on it {error}; it counts as not marked")


def write(root: Path, fs_uuid: str, key: bytes, wanted: DriveMarker) -> DriveMarker:
    """Mark the drive that is mounted for writing at `root`, durably, in place of an older marker;
    returns the marker as it can be read. DriveRejected when it cannot be written."""
    marker = replace(wanted, ours=True, owner=printable(wanted.owner, LONGEST_OWNER))
    values: dict[str, Any] = {"fieldrec_destination": FORMAT, "id": marker.id}
    if marker.owner:
        values["owner"] = marker.owner
    if marker.on_insert:
        values["on_insert"] = marker.on_insert
    if marker.cameras is not None:
        values["cameras"] = list(marker.cameras)
    if marker.capacity_bytes:
        values["capacity_bytes"] = marker.capacity_bytes
    values["hmac"] = _hmac(key, fs_uuid, marker)
    text = (json.dumps(values, indent=1) + "\n").encode()
    if len(text) > LARGEST_BYTES:
        raise DriveError(f"a marker has at most {LARGEST_BYTES} bytes; name fewer cameras")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _put(folder, root / NAME, text)
    except OSError as error:
        raise DriveRejected(f"{root / NAME} cannot be written ({error.strerror}); remove what is "
                            "there, or use another drive") from error
    finally:
        os.close(folder)
    return marker


def new_id() -> str:
    """An id that no other drive has."""
    return secrets.token_hex(8)


def keys_in(folders: Sequence[Path]) -> tuple[bytes, ...]:
    """This recorder's keys: each recordings folder may have one, the first may have been away when
    another was made. None yet: no drive was marked here. DriveError for one that cannot be read."""
    return tuple(key for folder in folders if (key := _key(folder)) is not None)


def key_for(folders: Sequence[Path]) -> bytes:
    """The key to mark drives with, made at the first use in the first of `folders`; only their
    owner can read it. DriveError, OSError."""
    if found := keys_in(folders):
        return found[0]
    private = folders[0] / PRIVATE_NAME
    durable.make_directories(private)
    descriptor = os.open(private, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # two that mark their first drive at once
        if (key := _key(folders[0])) is None:
            key = secrets.token_bytes(KEY_BYTES)
            durable.write_atomic(private / DRIVES_KEY_NAME, key.hex().encode() + b"\n", mode=0o600)
    finally:
        os.close(descriptor)
    return key


def _key(folder: Path) -> bytes | None:
    path = folder / PRIVATE_NAME / DRIVES_KEY_NAME
    try:
        text = path.read_text(encoding="ascii").strip()
        key = bytes.fromhex(text)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DriveError(f"{path}: cannot read the key that drives are marked with: "
                         f"{error.strerror}") from error
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise DriveError(f"{path}: not a key that drives are marked with; remove it, and mark the "
                         "drives again")
    return key


class _NoMarkerError(Exception):
    """What lies there is not a marker: says what it is instead."""


def _text(folder: int) -> bytes:
    """The bytes of the marker in the open root of a drive."""
    try:
        descriptor = os.open(NAME, _READ, dir_fd=folder)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        raise _NoMarkerError(f"is no plain file that can be read ({error.strerror})") from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_dev != os.fstat(folder).st_dev:
            raise _NoMarkerError("is no plain file")
        text = os.read(descriptor, LARGEST_BYTES + 1)
        if len(text) > LARGEST_BYTES:
            raise _NoMarkerError(f"has more than {LARGEST_BYTES} bytes")
        return text
    finally:
        os.close(descriptor)


def _parsed(text: bytes, fs_uuid: str, keys: Sequence[bytes]) -> DriveMarker:
    try:
        values = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # 4000 brackets are nested too deeply
        raise _NoMarkerError("is not JSON") from error
    if not isinstance(values, dict):
        raise _NoMarkerError("is not what fieldrec writes")
    version = values.get("fieldrec_destination")
    if version != FORMAT or isinstance(version, bool):
        newer = isinstance(version, int) and version > FORMAT
        raise _NoMarkerError("is of a newer fieldrec" if newer else "is not what fieldrec writes")
    id_, owner, told = values.get("id"), values.get("owner", ""), values.get("hmac")
    on_insert, cameras = values.get("on_insert", ""), values.get("cameras")
    capacity = values.get("capacity_bytes", 0)
    if not (type(capacity) is int and 0 <= capacity < 1 << 63
            and isinstance(id_, str) and _ID.match(id_)
            and isinstance(owner, str) and isinstance(told, str) and told.isascii()
            and on_insert in ("", *get_args(OnInsert)) and _are_cameras(cameras)):
        raise _NoMarkerError("has values that no fieldrec writes")
    signed = DriveMarker(id_, ours=True, owner=owner, on_insert=on_insert,
                         cameras=None if cameras is None else tuple(cameras),
                         capacity_bytes=capacity)
    ours = any(hmac.compare_digest(_hmac(key, fs_uuid, signed), told) for key in keys)
    return replace(signed, ours=ours, owner=printable(owner, LONGEST_OWNER))


def _are_cameras(values: object) -> bool:
    if values is None:
        return True
    if not isinstance(values, list) or len(values) > MOST_CAMERAS:
        return False
    with contextlib.suppress(ValueError):
        return all(isinstance(value, str) and check_camera(value) for value in values)
    return False


def _hmac(key: bytes, fs_uuid: str, marker: DriveMarker) -> str:
    """Over the file system's id and everything that the marker says; as it always was for a marker
    that says nothing of capacity."""
    cameras = None if marker.cameras is None else list(marker.cameras)
    values = [FORMAT, marker.id, fs_uuid, marker.owner, marker.on_insert, cameras]
    said = json.dumps(values + [marker.capacity_bytes] * bool(marker.capacity_bytes))
    return hmac.new(key, said.encode(), hashlib.sha256).hexdigest()


def _put(folder: int, path: Path, text: bytes) -> None:
    """`text` under the marker's name, whole or not at all; links are replaced, not followed."""
    part = path.with_name(durable.PART_PREFIX + NAME.lstrip("."))
    with contextlib.suppress(FileNotFoundError):
        durable.unlink_at(folder, part)
    descriptor = durable.create_at(folder, part)
    try:
        try:
            durable.write(descriptor, [text], part, len(text))
            durable.fsync(descriptor, part)
        finally:
            os.close(descriptor)
        durable.rename_at(folder, part, path)
    except (OSError, StoreError):
        with contextlib.suppress(OSError):  # the drive may be gone; the first error says more
            durable.unlink_at(folder, part)
        raise
