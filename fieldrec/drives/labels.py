"""Text from a drive (labels, ids, serials) is a stranger's text: cleaned once, where it comes in.

A label may carry escape sequences, mark-up, line ends, right-to-left overrides. After this module
nothing of it can act on a terminal, a web page, a log or a path. Pure.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST = 32
_UNSAFE = re.compile(r"[^A-Za-z0-9-]")


def printable(text: str, longest: int = LONGEST) -> str:
    """Printable ASCII of at most `longest` characters; each other character becomes "?".

    For showing only: never build a path from it.
    """
    composed = unicodedata.normalize("NFC", text)
    return "".join(c if " " <= c <= "~" else "?" for c in composed)[:longest].strip()


def identity(fs_uuid: str) -> str:
    """A file system's id if it looks like one (letters, digits, "-"), else "".

    Safe in a path: no separator, no dot. blkid writes the ids of all types we mount like this.
    """
    return "" if _UNSAFE.search(fs_uuid) or len(fs_uuid) > 64 else fs_uuid
