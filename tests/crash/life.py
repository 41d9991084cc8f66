"""One life of one recording: record, export, copy, move; and what must hold after any cut of it.

Run in a process of its own (sweep.py). Each step looks at the evidence on disk first, as the app
does after a restart, so that `live` called again after a kill finishes what was begun.
"""

from __future__ import annotations

import json
import mmap
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from imgstore import new_for_filename

from fieldrec.app.recovery import recover_folder
from fieldrec.catalogue.check import check
from fieldrec.catalogue.copied import store_of
from fieldrec.catalogue.scan import scan
from fieldrec.core.errors import FieldrecError
from fieldrec.core.model import FrameSpec, Recording, RecordingState
from fieldrec.destinations.folder import FolderDestination
from fieldrec.export import work_folder
from fieldrec.export.presets import preset
from fieldrec.export.run import run_export
from fieldrec.export.work_folder import WORK_PREFIX
from fieldrec.jobs.transfer import move, transfer
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.reader import StoreReader
from fieldrec.store.writer import StoreWriter
from tests.fakes.copies import listed

NAME = "cut_20261121_060000"
EXPORT = f"{NAME}.high.mp4"
SPEC = FrameSpec((256, 514), "uint8", "MONO8", 25.0)
"""Large enough to be written past the page cache, with a tail that is not a whole page."""
FRAMES = 14
CHUNKSIZE = 5
SYNC_EVERY = 4
EPOCH_NS = 1_795_000_000_000_000_000
PERIOD_NS = 40_000_000
NEVER = threading.Event()


def picture(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The frame that the camera gave under this number: a gradient that moves."""
    rows = np.arange(SPEC.shape[0], dtype=np.uint16)[:, None]
    columns = np.arange(SPEC.shape[1], dtype=np.uint16)[None, :]
    memory = np.frombuffer(mmap.mmap(-1, SPEC.frame_bytes), np.uint8)  # as the ring's slots are
    pixels = memory.reshape(SPEC.shape)
    pixels[...] = (rows + columns + number * 7) % 200 + 20
    return pixels


def folders(root: Path) -> tuple[Path, Path, Path]:
    """Recordings, and the two destinations: copied to, moved to."""
    made = root / "recordings", root / "archive", root / "attic"
    for folder in made:
        folder.mkdir(parents=True, exist_ok=True)
    return made


def live(root: Path, told: int) -> None:
    """All that is left to do of the life; `told`: sweep.Life."""
    recordings, archive, attic = folders(root)
    if not any(recordings.glob(NAME)) and not committed(attic):
        record(recordings / NAME, told)
    for recording in scan(recordings):
        if recording.state is not RecordingState.COMPLETE:
            continue
        if recording.has_raw and recording.frame_count:
            run_export(recording.path, preset("High"), output_folder=recordings, stop=NEVER,
                       on_progress=lambda *_: None)
        recording = next(r for r in scan(recordings) if r.name == recording.name)
        offload(recording, archive, moving=False)
        offload(recording, attic, moving=True)


def record(path: Path, told: int) -> None:
    """A recorder's calls, one after the other."""
    writer = StoreWriter(path, SPEC, chunksize=CHUNKSIZE, timezone="UTC", created_epoch_ns=EPOCH_NS,
                         user_metadata=recording_metadata({"animal": "frog"}, SPEC, "UTC"))
    try:
        for number in range(FRAMES):
            writer.append(picture(number), number, EPOCH_NS + number * PERIOD_NS, None)
            os.write(told, b"+")
            if number % SYNC_EVERY == SYNC_EVERY - 1:
                writer.sync()
                os.write(told, b"." * SYNC_EVERY)
        writer.close({"dropped": 0, "lost": 0})
        os.write(told, b"." * (FRAMES % SYNC_EVERY))
    except (FieldrecError, OSError):
        try:
            writer.close()
        except (FieldrecError, OSError):
            writer.abandon()
        raise


def offload(recording: Recording, folder: Path, *, moving: bool) -> None:
    destination = FolderDestination("folder", folder)
    try:
        (move if moving else transfer)(recording, destination, stop=NEVER)
    finally:
        destination.close()


def recover_all(root: Path) -> None:
    """What the daemon does before anything else. Its job wants the export until it is there."""
    recordings, _, attic = folders(root)
    recover_folder(recordings, lambda _text, _severity: None)
    made = any(recordings.glob(f"{EXPORT}.json")) or committed(attic)
    work_folder.sweep(recordings, () if made else (EXPORT,))


def unrecovered(_root: Path, _promised: int) -> list[str]:
    """Nothing is promised of it before it is recovered."""
    return []


def violations(root: Path, promised: int, _extra: int) -> tuple[int, list[str]]:
    """After a cut and a recovery: frames that can be found, and what is wrong: I1, I2, I4, I5, I7
    or fewer frames than were promised (I8)."""
    recordings, archive, attic = folders(root)
    wrong = [f"{p.invariant} {p.path.name}: {p.text}" for p in check(recordings, deep=True)
             if not p.path.name.startswith(WORK_PREFIX)]  # the second try goes on with it
    wrong += [f"left: {path}" for path in recordings.iterdir()
              if path.name.startswith((".part-", ".trash-"))]
    kept = 0
    for folder in (recordings, archive, attic):
        if (folder / NAME).exists() and (folder is recordings or committed(folder)):
            count, problem = frames_in(store_of(folder / NAME))
            kept = max(kept, count)
            if problem:
                wrong.append(f"{folder.name}: {problem}")
    for folder in (archive, attic):
        wrong += [f"I4 {folder.name}: {text}" for text in broken_manifests(folder)]
    if kept < promised:
        wrong.append(f"I5/I8: {promised} frames were durable, {kept} can be found")
    return kept, wrong


def frames_in(path: Path) -> tuple[int, str]:
    """Frames that the real imgstore reads from a store, and the first thing wrong with them."""
    with StoreReader(path) as ours:
        count = ours.frame_count
    if not count:
        return 0, ""
    store = new_for_filename(str(path))
    try:
        if store.frame_count != count:
            return count, f"imgstore sees {store.frame_count} frames, we see {count}"
        for index in range(count):
            image, (number, time_s) = store.get_image(None, frame_index=index)
            if number != index or abs(time_s - (EPOCH_NS + index * PERIOD_NS) / 1e9) > 1e-6:
                return count, f"frame {index} bears number {number} and time {time_s}"
            if not np.array_equal(image, picture(number)):
                return count, f"frame {index} has other pixels than were recorded"
        return count, ""
    finally:
        store.close()


def committed(folder: Path) -> bool:
    return (folder / NAME / "ascmhl" / "ascmhl_chain.xml").exists()


def broken_manifests(folder: Path) -> list[str]:
    """I4: whatever has a final name has a manifest, and every file matches it."""
    wrong = []
    for path in folder.iterdir():
        if path.name.startswith(".part-") or path.name.endswith(".json"):
            continue
        if path.is_dir():
            files = {path / name: digest for name, (_, digest) in listed(path).items()}
        else:
            sidecar = path.with_name(path.name + ".json")
            if not sidecar.exists():
                continue  # renamed, not yet committed: not there by I4
            files = {path: json.loads(sidecar.read_text())["file"]["xxh64"]}
        wrong += [str(file) for file, digest in files.items()
                  if not file.exists() or xxhash.xxh64(file.read_bytes()).hexdigest() != digest]
    return wrong


def unfinished(root: Path) -> list[str]:
    """What is not as it should be when nothing stood in the way of the second try."""
    recordings, archive, attic = folders(root)
    wrong = [f"still at the source: {path.name}" for path in recordings.iterdir()
             if path.name != ".fieldrec"]
    for folder in (archive, attic):
        names = {path.name for path in folder.iterdir()}
        wanted = {NAME}
        if (folder / NAME).is_dir() and frames_in(store_of(folder / NAME))[0]:
            wanted |= {f"{NAME}.high.mp4", f"{NAME}.high.mp4.json"}
        if names != wanted:
            wrong.append(f"{folder.name} has {sorted(names)}")
    return wrong
