"""Put right what can safely be put right in one store, whoever wrote it.

Blocking, under the store's lock; may be killed at any step and run again. Nothing whole is deleted:
what is damaged or in the way is kept under another name, and named.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from fieldrec.catalogue.check_store import check_store
from fieldrec.catalogue.scan import locked_state
from fieldrec.core import durable
from fieldrec.core.errors import LockedError, NotFoundError
from fieldrec.core.model import RecordingState
from fieldrec.store.indexing.compact_index import COMPACT_NAME
from fieldrec.store.layout import LOCK_NAME
from fieldrec.store.recover import put_right


def repair_store(path: Path, *, force: bool = False, now: Callable[[], float] = time.time
                 ) -> list[str]:
    """Recover the store, make indexes and metadata again, close gaps and extra data; what was done,
    one line each; none where nothing was wrong.

    NotFoundError without a store, LockedError while it is written (`force`, `now`: as for
    :func:`recover`), StoreDamaged when its metadata cannot even be guessed, StoreFull.
    """
    if not path.is_dir():
        raise NotFoundError(f"{path}: no such store")
    if locked_state(path) is RecordingState.RECORDING:
        raise LockedError(f"{path}: is being recorded; stop the recording first")
    said: list[str] = []
    if (path / LOCK_NAME).exists():
        said += put_right(path, (), force=force, now=now).notes
        said.append("it was interrupted: completed and unlocked")
    if not path.is_dir():  # nothing had been recorded: removed
        return said
    problems = check_store(path)
    if problems:
        suspects = {problem.chunk for problem in problems if problem.chunk is not None}
        said += put_right(path, suspects, force=force, now=now).notes
        durable.unlink(path / COMPACT_NAME, missing_ok=True)
        said += [f"{problem.path.name}: left behind: removed" for problem in problems
                 if problem.invariant == "I7" and not problem.path.exists()]
        said += [f"{problem.path}: {problem.text}: this cannot be repaired"
                 for problem in check_store(path)]
    return said
