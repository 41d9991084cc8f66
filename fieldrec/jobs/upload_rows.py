"""The file of the uploads: where each stands at its server, and which have ended. SQLite beside the
jobs' own rows; in the thread of whoever uploads.

By I6 it may be lost at any time: what was begun is then begun anew, what had ended is uploaded
again. A row holds the address of an upload, never a key.
"""

from __future__ import annotations

import sqlite3
from dataclasses import astuple, dataclass
from pathlib import Path

from fieldrec.jobs.row_file import RowFile, insert

FILE_NAME = "uploads.sqlite"
MOST_ROWS = 10_000
"""The latest are kept."""
_COLUMNS = ("destination", "item_uuid", "item", "fingerprint", "location", "total_bytes", "done_ns")
_TABLE = """
CREATE TABLE IF NOT EXISTS uploads (
    destination TEXT NOT NULL, item_uuid TEXT NOT NULL, item TEXT NOT NULL,
    fingerprint TEXT NOT NULL, location TEXT NOT NULL, total_bytes INTEGER NOT NULL,
    done_ns INTEGER NOT NULL, PRIMARY KEY (destination, item_uuid, item))
"""
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class UploadRow:
    """One upload."""

    destination: str
    item_uuid: str
    """The recording's."""
    item: str
    """The name of its store or export."""
    fingerprint: str
    """Of all that was to be uploaded: names, sizes, times."""
    location: str
    """Its address at the server; "" once it has ended."""
    total_bytes: int
    done_ns: int
    """When it ended; 0 while it has not."""

    @property
    def key(self) -> Key:
        """There is one row for each."""
        return self.destination, self.item_uuid, self.item


class UploadRows:
    """The file, open. Blocking; one thread."""

    def __init__(self, path: Path) -> None:
        """Opens or makes it. What is wrong with it is in `trouble`; then it is kept in memory."""
        self._file: RowFile[dict[Key, UploadRow]] = RowFile(path, 1, _prepare, _read,
                                                              write_ahead=False)
        self._rows, self.trouble = self._file.load({})

    def get(self, key: Key) -> UploadRow | None:
        """What is known of an upload."""
        return self._rows.get(key)

    def put(self, row: UploadRow) -> None:
        """Note it, in place of what was known."""
        self._rows[row.key] = row

        def write(rows: sqlite3.Connection) -> None:
            rows.execute(insert("OR REPLACE INTO uploads", _COLUMNS), astuple(row))
            rows.execute("DELETE FROM uploads WHERE rowid <= (SELECT MAX(rowid) FROM uploads) - ?",
                         (MOST_ROWS,))

        self.trouble = self._file.write(write) or self.trouble

    def remove(self, key: Key) -> None:
        """Forget it. Idempotent."""
        if self._rows.pop(key, None) is not None:
            self.trouble = self._file.write(lambda rows: void(rows.execute(
                "DELETE FROM uploads WHERE destination = ? AND item_uuid = ? AND item = ?", key))
            ) or self.trouble

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()


def void(_: object) -> None:
    """Drop a result."""


def _prepare(rows: sqlite3.Connection) -> None:
    rows.execute(_TABLE)


def _read(rows: sqlite3.Connection) -> dict[Key, UploadRow]:
    read = (UploadRow(*row) for row in rows.execute(f"SELECT {', '.join(_COLUMNS)} FROM uploads"))
    return {row.key: row for row in read}
