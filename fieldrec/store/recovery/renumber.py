"""Close the holes in a store's chunk numbers: imgstore stops reading at the first one.

Blocking, under the store's lock. Nothing is lost: chunks without frames are taken away, what lies
in them or beside them is kept under another name, and the chunks behind move down. May be killed
at any step and run again: ``chunks.plan`` lists every rename before the first is done, in an order
in which a name is free when its turn comes, so that a name that is there is one that was done.
"""

from __future__ import annotations

import json
from pathlib import Path

from fieldrec.core import durable
from fieldrec.core.errors import StoreDamaged
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.recovery.rebuild import DAMAGED, free_name

PLAN_NAME = "chunks.plan"
ORPHANED = ".orphaned"
"""Extra data that belonged to a chunk whose frames are gone."""


def close_gaps(root: Path, numbers: list[int], extension: str) -> None:
    """Give the chunks of these numbers (ascending) the names 0, 1, 2 …; nothing is done where
    they have them. `extension` as for :func:`chunk_paths`."""
    renames = [pair for number, at in _moves(numbers)
               for pair in _renames(root, number, at, extension)]
    if renames:
        durable.write_atomic(root / PLAN_NAME, json.dumps(renames).encode("ascii"))
        carry_on(root)


def what_moves(numbers: list[int]) -> str:
    """What :func:`close_gaps` will do, in words; "" for nothing."""
    moves = _moves(numbers)
    if not moves:
        return ""
    are = "are" if len(moves) > 1 else "is"
    return (f"without a chunk {moves[0][1]:06d} imgstore would stop reading there: "
            f"{_span(moves, 0)} {are} now called {_span(moves, 1)}")


def _moves(numbers: list[int]) -> list[tuple[int, int]]:
    return [(number, at) for at, number in enumerate(numbers) if number != at]


def carry_on(root: Path) -> bool:
    """Do the renames that ``chunks.plan`` lists and that have not been done; whether there was
    such a plan. StoreDamaged when it cannot be read."""
    path = root / PLAN_NAME
    try:
        renames = json.loads(path.read_text(encoding="ascii"))
        pairs = [(root / str(source), root / str(target)) for source, target in renames]
    except FileNotFoundError:
        return False
    except (ValueError, TypeError) as error:
        raise StoreDamaged(f"{path}: cannot be read ({error}); chunks were being renamed to close "
                           "a gap: look at their frame numbers before you delete it") from error
    for source, target in pairs:
        if source.exists() and not target.exists():
            durable.rename(source, target)
    durable.unlink(path)
    return True


def is_ours_to_take(paths: ChunkPaths) -> bool:
    """Whether a chunk without frames holds nothing but what belongs to a chunk."""
    if paths.open_video is not None or not paths.frames.is_dir():
        return True
    known = {path.name for path in _own_files(paths)} | {paths.extra.name}
    return all(entry.is_file() and (entry.name in known or _is_temporary(entry))
               for entry in paths.frames.iterdir())


def take_away(root: Path, paths: ChunkPaths, before: ChunkPaths | None, listed: int) -> list[str]:
    """Remove a chunk that has no frames; what is kept of it and under which name.

    Its extra data goes to the chunk before, of which it tells the last frame. `listed`: how many
    frames its index tells of; it is kept when there are any.
    """
    kept: list[str] = []
    if paths.extra.exists():
        kept += _pass_extra(root, paths, before)
    if listed and paths.index.exists():
        name = f"{paths.number:06d}.index.npz{ORPHANED}"
        kept.append(_keep(root, paths.index, name))
    for file in _own_files(paths):
        durable.unlink(file, missing_ok=True)
    if paths.open_video is None:
        kept += _empty_directory(root, paths)
    else:
        kept += _video(root, paths, listed)
    kept += [_keep(root, file, f"{file.name}{ORPHANED}") for file in paths.motif_extra()
             if file.exists()]
    return kept


def _renames(root: Path, number: int, to: int, extension: str) -> list[tuple[str, str]]:
    """What has to be renamed for chunk `number` to become `to`: of a video, the index last."""
    prefix, new = f"{number:06d}", f"{to:06d}"
    beside = sorted((path.name for path in root.glob(f"{prefix}.*")
                     if not path.name.endswith((DAMAGED, ORPHANED))),
                    key=lambda name: (name.endswith(".npz"), name))
    names = beside if extension else [prefix, *beside]
    return [(name, new + name[len(prefix):]) for name in names]


def _pass_extra(root: Path, paths: ChunkPaths, before: ChunkPaths | None) -> list[str]:
    """Add the extra data to the chunk before; as a file of its own where that cannot be done."""
    try:
        records = json.loads(paths.extra.read_text(encoding="utf-8"))
        if before is None or not isinstance(records, list):
            raise ValueError("no list, or nobody to give it to")
        try:
            there = json.loads(before.extra.read_text(encoding="utf-8"))
        except FileNotFoundError:
            durable.rename(paths.extra, before.extra)
            return []
        if there[len(there) - len(records):] != records:  # else it was done before
            durable.write_atomic(before.extra, json.dumps([*there, *records]).encode("ascii"))
        durable.unlink(paths.extra)
    except (ValueError, TypeError, OSError):
        return [_keep(root, paths.extra, f"{paths.number:06d}.{paths.extra.name}{ORPHANED}")]
    return []


def _video(root: Path, paths: ChunkPaths, listed: int) -> list[str]:
    """Put the video of a chunk without frames aside; one whose index says that there are none is
    removed: what it shows is the black picture without which readers would not open it."""
    if listed and paths.frames.exists():
        return [_keep(root, paths.frames, f"{paths.frames.name}{DAMAGED}")]
    durable.unlink(paths.frames, missing_ok=True)
    return []


def _empty_directory(root: Path, paths: ChunkPaths) -> list[str]:
    """Remove the chunk's directory; files that are still in it go to the root."""
    kept: list[str] = []
    if not paths.frames.exists():
        return kept
    for file in sorted(paths.frames.iterdir()):
        if _is_temporary(file):
            durable.unlink(file)
        else:
            kept.append(_keep(root, file, f"{paths.frames.name}.{file.name}{DAMAGED}"))
    durable.remove_empty_directory(paths.frames)
    return kept


def _own_files(paths: ChunkPaths) -> tuple[Path, ...]:
    return paths.index, paths.index_yaml, paths.log, paths.plan, paths.extra_log


def _is_temporary(file: Path) -> bool:
    return file.name.startswith(".") and file.name.endswith(".tmp")


def _keep(root: Path, file: Path, name: str) -> str:
    target = free_name(root, name)
    durable.rename(file, target)
    return target.name


def _span(moves: list[tuple[int, int]], which: int) -> str:
    first, last = moves[0][which], moves[-1][which]
    return f"{first:06d}" if len(moves) == 1 else f"{first:06d} … {last:06d}"
