"""Verifying a copy finds whatever is wrong with it, as the reference implementation does, and
nothing else; a generation that is added is one that both go on from."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import shutil
import tracemalloc
from pathlib import Path

import pytest
import xxhash

from fieldrec.catalogue.verify import HISTORY, OWN, Outcome, verify
from fieldrec.core import durable
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import NotFoundError, StoreError, StoreFull
from fieldrec.mhl import digests, parsing, walking
from fieldrec.mhl.history import load
from fieldrec.mhl.model import (
    Digest,
    DirectoryHash,
    FileHash,
    Generation,
    HashList,
    Head,
    Reference,
)
from fieldrec.mhl.verifying import Verifier
from fieldrec.mhl.writing import chain_bytes, manifest_bytes, manifest_name
from tests.fakes import ascmhl_tool
from tests.fakes.small_stores import make_export, make_store
from tests.unit.test_mhl_reference import nas, spoil

pytest.importorskip("ascmhl", reason="the ascmhl package is the oracle")
__all__ = ["nas"]
FRAME = "bees/000001/000002.npy"


def one(path: Path, *, write: bool = False) -> Outcome:
    outcome, = verify(path, write=SystemClock() if write else None)
    return outcome


def history(root: Path, *lists: HashList) -> None:
    """A history of these generations, made by hand."""
    folder = root / "ascmhl"
    folder.mkdir()
    made = []
    for number, one_list in enumerate(lists, 1):
        data = manifest_bytes(one_list)
        made.append(Generation(number, manifest_name(number, root.name, 0), digests.c4(data)))
        (folder / made[-1].name).write_bytes(data)
    (folder / "ascmhl_chain.xml").write_bytes(chain_bytes(made))


def hash_list(*files: FileHash, process: str = "in-place", ignored: tuple[str, ...] = (),
              references: tuple[Reference, ...] = ()) -> HashList:
    return HashList(Head("2026-11-21T06:00:00+00:00", "box", "other", "1", process, "", ignored),
                    files, (), references)


def test_a_copy_is_right(nas: Path) -> None:
    outcome = one(nas / "bees")
    assert outcome.is_right
    assert (outcome.checked_by, outcome.files, outcome.generations) == (HISTORY, 14, 1)
    assert outcome.read_bytes == sum(path.stat().st_size for path in (nas / "bees" / "bees")
                                     .rglob("*") if path.is_file())
    verdict = Verifier().verify(str(nas / "bees"))
    assert (verdict.right_files, verdict.right) == (14, {}), "nobody writes down what was read"


@pytest.mark.parametrize(("damage", "said"), [
    ("flip", ([(FRAME, "other content (xxh64 differs)")], [], [])),
    ("truncated", ([(FRAME, "truncated: 895 bytes, not 896")], [], [])),
    ("missing", ([], [FRAME], [])),
    ("extra", ([], [], [("bees/000001/stranger.npy", "in no generation")])),
])
def test_what_is_wrong_is_named(nas: Path, damage: str, said: object) -> None:
    spoil(nas / "bees", damage)
    outcome = one(nas / "bees")
    assert not outcome.is_right
    assert ([(f.path, f.why) for f in outcome.damaged], list(outcome.missing),
            [(f.path, f.why) for f in outcome.extra]) == said
    assert outcome.files == (14 if damage == "extra" else 13)


@pytest.mark.parametrize("damage", ["manifest", "chain", "no chain", "no manifest", "link"])
def test_a_history_that_cannot_be_relied_on(nas: Path, damage: str) -> None:
    folder = nas / "bees" / "ascmhl"
    manifest, = folder.glob("*.mhl")
    match damage:
        case "manifest":
            spoil(nas / "bees", damage)
        case "chain":
            (folder / "ascmhl_chain.xml").write_text("<ascmhldirectory/>")
        case "no chain":
            (folder / "ascmhl_chain.xml").unlink()
        case "no manifest":
            manifest.unlink()
        case "link":
            shutil.move(manifest, nas / "elsewhere.mhl")
            manifest.symlink_to(nas / "elsewhere.mhl")
    outcome = one(nas / "bees")
    assert outcome.broken
    assert not outcome.is_right


def test_links_pipes_and_deep_folders_are_told_and_not_followed(nas: Path) -> None:
    chunk = nas / "bees" / "bees" / "000001"
    (chunk / "000001.npy").unlink()
    (chunk / "000001.npy").symlink_to("000000.npy")
    os.mkfifo(chunk / "pipe")
    (chunk / "line\nbreak").write_bytes(b"x")
    (nas / "bees" / "etc").symlink_to("/etc")
    deep = nas / "bees" / "/".join(["d"] * 80)
    deep.mkdir(parents=True)
    (deep / "x").write_bytes(b"x")
    outcome = one(nas / "bees")
    assert [(f.path, f.why) for f in outcome.damaged] == [
        ("bees/000001/000001.npy", "is no file but a link, device or pipe")]
    assert [f.path for f in outcome.extra] == [
        "bees/000001/line\nbreak", "bees/000001/pipe", "/".join(["d"] * 65), "etc"]


def test_a_folder_in_the_place_of_a_file_is_damage(nas: Path) -> None:
    (nas / "bees" / FRAME).unlink()
    (nas / "bees" / FRAME).mkdir()
    outcome = one(nas / "bees")
    assert [(f.path, f.why) for f in outcome.damaged] == [(FRAME, "is no file but a folder")]


def test_histories_in_one_another_without_end_are_not_followed(tmp_path: Path) -> None:
    at = tmp_path
    for _ in range(80):
        history(at, hash_list())
        at = at / "d"
        at.mkdir()
    outcomes = list(verify(tmp_path))
    assert len(outcomes) == 65
    assert [(f.path, f.why) for o in outcomes for f in o.extra] == [
        ("d", "folders too deep in one another; not looked at")]


def test_a_history_that_is_gone_from_its_folder_is_missed(tmp_path: Path) -> None:
    (tmp_path / "bees").mkdir()
    history(tmp_path / "bees", hash_list())
    name, = (path.name for path in (tmp_path / "bees" / "ascmhl").glob("*.mhl"))
    history(tmp_path, hash_list(references=tuple(
        Reference(f"{folder}/ascmhl/{name}", digests.c4(b"")) for folder in ("bees", "wasps"))))
    assert "refers to" in next(iter(verify(tmp_path))).broken
    shutil.rmtree(tmp_path / "bees" / "ascmhl")
    assert one(tmp_path).missing == ("bees/ascmhl", "wasps")


@pytest.mark.parametrize("what", ["bees/metadata.yaml", "bees/.lock", "bees/000001/000002.npy",
                                  "bees.high.mp4", "bees.high.mp4.json"])
def test_pipes_where_there_is_no_history_hold_nobody(tmp_path: Path, what: str) -> None:
    make_export(tmp_path, "bees", make_store(tmp_path, "bees"))
    (tmp_path / what).unlink(missing_ok=True)
    os.mkfifo(tmp_path / what)
    assert [f.path for o in verify(tmp_path) for f in o.damaged] == [what]


def test_a_history_takes_little_memory_for_each_file(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 5_000
    monkeypatch.setattr(walking, "SLICE_BYTES", 4096)
    history(tmp_path, hash_list(*(
        FileHash(f"bees_20261121_060000/{number // 1000:06d}/{number % 1000:06d}.npy",
                 (Digest("xxh64", f"{number:016x}"),), 1_300_128) for number in range(count))))
    tracemalloc.start()
    try:
        with walking.directory(tmp_path) as root:
            assert sum(map(len, load(root, "here").files.values())) == count
        assert tracemalloc.get_traced_memory()[1] < 300 * count
    finally:
        tracemalloc.stop()


def test_a_manifest_that_the_chain_does_not_list_is_not_relied_on(nas: Path) -> None:
    frame = nas / "bees" / FRAME
    frame.write_bytes(b"another's")
    data = manifest_bytes(hash_list(FileHash(FRAME, (Digest(
        "xxh64", xxhash.xxh64_hexdigest(b"another's")),), 9)))
    (nas / "bees" / "ascmhl" / "0002_bees_2026-11-22_000000Z.mhl").write_bytes(data)
    outcome = one(nas / "bees")
    assert [f.path for f in outcome.damaged] == [FRAME]
    assert "0002_bees_2026-11-22_000000Z.mhl is in no chain" in outcome.notes[0]


def test_a_whole_drive_a_part_and_a_movie(nas: Path) -> None:
    found = {Path(o.path).name: o for o in verify(nas.parent / "nas")}
    assert {name: o.checked_by for name, o in found.items()} == {
        "bees": HISTORY, "bees.high.mp4": OWN}
    assert all(o.is_right for o in found.values())
    assert found["bees.high.mp4"].read_bytes == (nas / "bees.high.mp4").stat().st_size
    store = one(nas / "bees" / "bees")
    assert (store.checked_by, store.files) == (HISTORY, 14)
    frame = one(nas / "bees" / FRAME)
    assert (frame.files, frame.missing) == (1, ())
    spoil(nas / "bees", "flip")
    assert one(nas / "bees" / "bees" / "000000").is_right
    assert not one(nas / "bees" / "bees" / "000001").is_right
    movie = nas / "bees.high.mp4"
    assert one(movie).is_right
    movie.write_bytes(movie.read_bytes()[:-1] + b"\xfe")
    assert [f.path for f in one(movie).damaged]


def test_a_recording_without_history_is_compared_with_its_own_digests(tmp_path: Path) -> None:
    make_store(tmp_path, "bees")
    outcome = one(tmp_path / "bees")
    assert (outcome.checked_by, outcome.is_right) == (OWN, True)
    with pytest.raises(StoreError, match="no history to write to"):
        one(tmp_path / "bees", write=True)
    assert not (tmp_path / "bees" / "ascmhl").exists()
    frame = tmp_path / "bees" / "000001" / "000002.npy"
    frame.write_bytes(frame.read_bytes()[:-1] + b"\xfe")
    assert "000002" in str(one(tmp_path / "bees").damaged)


def test_nothing_to_verify(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nothing there can be verified"):
        list(verify(tmp_path))
    with pytest.raises(NotFoundError, match="no such file"):
        list(verify(tmp_path / "gone"))


def test_digests_of_other_tools_are_compared(tmp_path: Path) -> None:
    data = b"frame" * 1000
    made = {"c4": digests.text_of("c4", hashlib.sha512(data).digest()),
            "md5": hashlib.md5(data).hexdigest(), "sha1": hashlib.sha1(data).hexdigest(),
            "xxh64": xxhash.xxh64_hexdigest(data), "xxh3": xxhash.xxh3_64_hexdigest(data),
            "xxh128": xxhash.xxh3_128_hexdigest(data)}
    assert made.keys() == set(digests.FORMATS)
    for form in made:
        (tmp_path / form).write_bytes(data)
    history(tmp_path, hash_list(*(FileHash(form, (Digest(form, text),))
                                  for form, text in made.items())))
    assert one(tmp_path).is_right
    assert ascmhl_tool.verify(tmp_path)[0] == ascmhl_tool.OK
    for form in made:
        (tmp_path / form).write_bytes(b"grame" + data[5:])
    assert [f.why for f in one(tmp_path).damaged] == [
        f"other content ({form} differs)" for form in sorted(made)]


def test_a_failed_digest_is_no_reference_and_a_renamed_file_keeps_its_own(tmp_path: Path) -> None:
    good, bad = (xxhash.xxh64_hexdigest(data) for data in (b"good", b"evil"))
    (tmp_path / "b").write_bytes(b"good")
    (tmp_path / "c").write_bytes(b"good")
    history(tmp_path,
            hash_list(FileHash("a", (Digest("xxh64", good),)),
                      FileHash("c", (Digest("xxh64", bad, "failed"),))),
            hash_list(FileHash("b", (Digest("xxh64", bad, "failed"),), previous_path="a"),
                      FileHash("c", (Digest("xxh64", good),))))
    outcome = one(tmp_path)
    assert (outcome.files, outcome.is_right) == (2, True)


def test_files_that_changed_names_and_folders_with_other_names(tmp_path: Path) -> None:
    digest = {name: (Digest("xxh64", xxhash.xxh64_hexdigest(name.encode())),) for name in "abx"}
    for path, content in (("a", "b"), ("b", "a"), ("new/f", "x")):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(content)
    told = hash_list(FileHash("a", digest["b"], previous_path="b"),
                     FileHash("b", digest["a"], previous_path="a"),
                     FileHash("new/f", digest["x"], previous_path="old/f"))
    folders = ([DirectoryHash("old", "xxh64", "0" * 16, "0" * 16)],
               [DirectoryHash("new", "xxh64", "0" * 16, "0" * 16)])
    first = hash_list(*(FileHash(name, digest[name]) for name in "ab"),
                      FileHash("old/f", digest["x"]))
    history(tmp_path, dataclasses.replace(first, directories=folders[0]),
            dataclasses.replace(told, directories=folders[1]))
    assert one(tmp_path).missing == ("old",)
    manifest, chain = sorted((tmp_path / "ascmhl").iterdir())[1:]
    data = manifest.read_bytes().replace(b"</structure>\n", b"</structure>\n"
                                         b"      <previousPath>old</previousPath>\n")
    chain.write_text(chain.read_text().replace(digests.c4(manifest.read_bytes()),
                                               digests.c4(data)))
    manifest.write_bytes(data)
    outcome = one(tmp_path)
    assert (outcome.files, outcome.is_right) == (3, True), outcome
    assert ascmhl_tool.verify(tmp_path)[0] == ascmhl_tool.OK


def test_what_is_left_out_is_no_extra_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    for path in (".DS_Store", "logbook/1", "x/y/notes.txt", "keep/notes.txt", "sub/top.txt"):
        (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / path).write_bytes(b"x")
    history(tmp_path, hash_list(
        FileHash("a", (Digest("xxh64", xxhash.xxh64_hexdigest(b"")),)),
        ignored=(".DS_Store", "logbook/", "*.txt", "!keep/*.txt", "/top.txt", "# no", "")))
    assert [f.path for f in one(tmp_path).extra] == ["keep/notes.txt"]


@pytest.mark.parametrize("damage", ["", "flip", "missing", "extra", "truncated"])
def test_a_generation_that_we_add_is_one_the_reference_goes_on_from(nas: Path, damage: str
                                                                    ) -> None:
    root = nas / "bees"
    if damage:
        spoil(root, damage)
    if damage == "extra":
        (root / "empty" / "folder").mkdir(parents=True)
    before = one(root)
    outcome = one(root, write=True)
    assert outcome.written == str(root / "ascmhl" / Path(outcome.written).name)
    assert (outcome.damaged != (), outcome.missing) == (before.damaged != (), before.missing)
    told = parsing.parse_manifest(Path(outcome.written).read_bytes(), "here")
    actions = [file.digests[0].action for file in told.files]
    assert (actions.count("failed"), actions.count("original")) == (
        damage in ("flip", "truncated"), damage == "extra")
    wanted = {"": ascmhl_tool.OK, "missing": ascmhl_tool.MISSING, "extra": ascmhl_tool.OK}.get(
        damage, ascmhl_tool.DAMAGED)
    assert ascmhl_tool.verify(root)[0] == wanted
    if damage == "extra":  # empty folders count in the digests of folders, too
        said = ascmhl_tool.ascmhl_debug("verify", "-dh", "-v", root)[1]
        assert "root folder   OK (generation 0002)" in said, said
    assert one(root).is_right == (wanted == ascmhl_tool.OK)
    assert ascmhl_tool.ascmhl("create", root)[0] == wanted
    again = one(root, write=True)
    assert (again.generations, again.is_right) == (3, wanted == ascmhl_tool.OK)
    assert not list((root / "ascmhl").glob(".part-*"))


def test_a_generation_for_which_there_is_no_room_leaves_nothing(nas: Path) -> None:
    def full(step: str, _path: Path) -> None:
        if step == "fsync":
            raise OSError(errno.ENOSPC, "No space left on device")

    before = sorted((nas / "bees" / "ascmhl").iterdir())
    durable.set_hook(full)
    try:
        with pytest.raises(StoreFull):
            one(nas / "bees", write=True)
    finally:
        durable.set_hook(None)
    assert sorted((nas / "bees" / "ascmhl").iterdir()) == before


def test_a_name_that_no_manifest_can_hold_stays_extra(nas: Path) -> None:
    (nas / "bees" / "bell\x07").write_bytes(b"x")
    written = Path(one(nas / "bees", write=True).written)
    told = parsing.parse_manifest(written.read_bytes(), "here")
    assert (list(told.directories), told.head.root) == ([], None), "they would be of less than all"
    assert [f.path for f in one(nas / "bees").extra] == ["bell\x07"]


def test_where_no_generation_can_be_written_nothing_is_read(
        nas: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Verifier, "verify", None)
    with pytest.raises(StoreError, match="is a part of"):
        one(nas / "bees" / "bees", write=True)
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)  # as on a read-only drive
    with pytest.raises(StoreError, match="ascmhl: no generation can be written there; verify it"):
        one(nas / "bees", write=True)
