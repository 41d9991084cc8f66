"""Manifests and chains as bytes. Pure; any thread.

A manifest is made slice by slice from files that come one by one, so that a recording of a million
files needs no more memory than its bytes. What XML cannot hold (control characters, names that are
no text) is refused; a line break or a tab is written as a reference, which readers give back as it
was.
"""

from __future__ import annotations

import datetime
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain as joined

from fieldrec.core.errors import StoreDamaged
from fieldrec.mhl import EXTENSION
from fieldrec.mhl.digests import FORMATS
from fieldrec.mhl.model import (
    DirectoryHash,
    FileHash,
    Generation,
    HashList,
    Head,
    Reference,
)

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;",
            "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
_SPECIAL = re.compile(r'[&<>"\t\n\r]')
_IMPOSSIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NOT_IN_NAMES = re.compile("[/\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_LONGEST_FOLDER_BYTES = 180
"""Of the folder's name in that of a manifest, which with what it is called while it is written has
255 at most."""


def manifest_name(number: int, folder: str, now_ns: int) -> str:
    """Name of generation `number` of the data set in a folder of that name."""
    when = _utc(now_ns).strftime("%Y-%m-%d_%H%M%SZ")
    name = _NOT_IN_NAMES.sub("_", folder).encode()[:_LONGEST_FOLDER_BYTES].decode(errors="ignore")
    return f"{number:04d}_{name}_{when}{EXTENSION}"


def instant(epoch_ns: int) -> str:
    """A moment as manifests write it, to the second."""
    return _utc(epoch_ns).isoformat(timespec="seconds")


def manifest_slices(hash_list: HashList) -> Iterator[bytes]:
    """A manifest, in order. StoreDamaged for a name or text that XML cannot hold."""
    yield (b'<?xml version="1.0" encoding="UTF-8"?>\n'
           b'<hashlist version="2.0" xmlns="urn:ASC:MHL:v2.0">\n')
    yield _head(hash_list.head).encode()
    entries = joined((_directory(one) for one in hash_list.directories),
                     (_file(one, hash_list.head.created) for one in hash_list.files))
    yield from _section("hashes", entries)
    yield from _section("references", (_reference(one) for one in hash_list.references))
    yield b"</hashlist>\n"


def manifest_bytes(hash_list: HashList) -> bytes:
    """The same at once. (Joining would hold every slice as an object of its own.)"""
    whole = io.BytesIO()
    whole.writelines(manifest_slices(hash_list))
    return whole.getvalue()


def chain_bytes(generations: Sequence[Generation]) -> bytes:
    """The chain that lists these generations."""
    lines = [f'  <hashlist sequencenr="{one.number}">\n    <path>{escaped(one.name)}</path>\n'
             f"    <c4>{one.c4}</c4>\n  </hashlist>\n" for one in generations]
    return ('<?xml version="1.0" encoding="UTF-8"?>\n'
            '<ascmhldirectory xmlns="urn:ASC:MHL:DIRECTORY:v2.0">\n'
            f"{''.join(lines)}</ascmhldirectory>\n").encode()


def writable(text: str) -> bool:
    """Whether XML can hold a text."""
    return _IMPOSSIBLE.search(text) is None


def escaped(text: str) -> str:
    """Text as it stands between tags or quotes. StoreDamaged where XML cannot hold it."""
    if not writable(text):
        raise StoreDamaged(f"{text[:200]!r} has characters that no ASC MHL manifest can hold; "
                           "rename it")
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], text)


def _head(head: Head) -> str:
    comment = f"    <comment>{escaped(head.comment)}</comment>\n" if head.comment else ""
    root = "" if head.root is None or not head.root.form else (
        f"    <roothash>\n{_two_digests(head.root, head.created)}    </roothash>\n")
    patterns = "".join(f"      <pattern>{escaped(one)}</pattern>\n" for one in head.ignored)
    ignored = f"    <ignore>\n{patterns}    </ignore>\n" if patterns else ""
    return ("  <creatorinfo>\n"
            f"    <creationdate>{escaped(head.created)}</creationdate>\n"
            f"    <hostname>{escaped(head.hostname)}</hostname>\n"
            f'    <tool version="{escaped(head.tool_version)}">{escaped(head.tool)}</tool>\n'
            f"{comment}  </creatorinfo>\n"
            "  <processinfo>\n"
            f"    <process>{escaped(head.process)}</process>\n"
            f"{root}{ignored}  </processinfo>\n")


def _section(name: str, entries: Iterable[str]) -> Iterator[bytes]:
    """The entries between tags; nothing where there are none, as the schema wants it."""
    begun = False
    for entry in entries:
        if not begun:
            begun = True
            yield f"  <{name}>\n".encode()
        yield entry.encode()
    if begun:
        yield f"  </{name}>\n".encode()


def _file(file: FileHash, created: str) -> str:
    size = "" if file.size_bytes is None else f' size="{file.size_bytes}"'
    changed = "" if file.modified_ns is None else \
        f' lastmodificationdate="{instant(file.modified_ns)}"'
    digests = "".join(
        f'      <{one.form}{_action(one.action)} hashdate="{created}">{one.text}</{one.form}>\n'
        for one in sorted(file.digests, key=lambda one: FORMATS.index(one.form)))
    previous = "" if not file.previous_path else \
        f"      <previousPath>{escaped(file.previous_path)}</previousPath>\n"
    return (f"    <hash>\n      <path{size}{changed}>{escaped(file.path)}</path>\n"
            f"{digests}{previous}    </hash>\n")


def _action(action: str) -> str:
    return f' action="{action}"' if action else ""


def _directory(directory: DirectoryHash) -> str:
    return (f"    <directoryhash>\n      <path>{escaped(directory.path)}</path>\n"
            f"{_two_digests(directory, '')}    </directoryhash>\n")


def _two_digests(directory: DirectoryHash, created: str) -> str:
    date = f' hashdate="{created}"' if created else ""
    form = directory.form
    return (f"      <content>\n        <{form}{date}>{directory.content}</{form}>\n"
            f"      </content>\n      <structure>\n        <{form}{date}>{directory.structure}"
            f"</{form}>\n      </structure>\n")


def _reference(reference: Reference) -> str:
    return (f"    <hashlistreference>\n      <path>{escaped(reference.path)}</path>\n"
            f"      <c4>{reference.c4}</c4>\n    </hashlistreference>\n")


def _utc(epoch_ns: int) -> datetime.datetime:
    """1970 for a time that the calendar does not have: a file of a medium may have any."""
    try:
        return datetime.datetime.fromtimestamp(epoch_ns // 1_000_000_000, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.datetime.fromtimestamp(0, datetime.UTC)
