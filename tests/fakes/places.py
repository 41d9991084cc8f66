"""A place of several folders that gives names in order and notes what it was asked."""

from __future__ import annotations

from pathlib import Path

from fieldrec.core.errors import FieldrecError, StoreError


class SeveralFolders:
    """a-1, a-2… in the first folder that has not failed."""

    def __init__(self, *folders: Path, base: str = "a") -> None:
        self._folders = list(folders)
        self._base = base
        self.given: list[Path] = []
        self.epochs_ns: list[int] = []
        self.failures: list[tuple[Path, FieldrecError]] = []

    def next_path(self, epoch_ns: int) -> Path:
        if not self._folders:
            raise StoreError("no folder is left")
        self.epochs_ns.append(epoch_ns)
        self.given.append(self._folders[0] / f"{self._base}-{len(self.given) + 1}")
        return self.given[-1]

    def failed(self, path: Path, error: FieldrecError) -> bool:
        self.failures.append((path, error))
        if path.parent in self._folders:
            self._folders.remove(path.parent)
        return bool(self._folders)
