"""A file system's figures as the test wants them."""

from __future__ import annotations

import os
from pathlib import Path

BLOCK = 4096


class FakeDisk:
    """Stands for os.statvfs: `free_bytes` of `total_bytes` can be had."""

    def __init__(self, total_bytes: int, free_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.free_bytes = free_bytes

    def __call__(self, path: Path) -> os.statvfs_result:
        os.statvfs(path)  # a missing folder fails as it would
        free = self.free_bytes // BLOCK
        return os.statvfs_result(
            (BLOCK, BLOCK, self.total_bytes // BLOCK, free, free, 0, 0, 0, 0, 255))
