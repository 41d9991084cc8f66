"""An open queue of jobs, for tests that ask for it by its name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from fieldrec.jobs.job_queue import JobQueue


@pytest_asyncio.fixture
async def queue(tmp_path: Path) -> AsyncIterator[JobQueue]:
    """Empty, in a file of its own."""
    queue = JobQueue(tmp_path / "jobs.sqlite")
    await queue.open()
    yield queue
    await queue.close()
