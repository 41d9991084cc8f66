"""The text of a sidecar: its first line is enough for a catalogue, and a cut shows itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fieldrec.core.errors import NotFoundError, StoreDamaged
from fieldrec.store.movie import content
from fieldrec.store.movie.content import (
    content_of,
    is_sidecar,
    pack_records,
    parse,
    read_head,
    text,
    unpack_records,
)
from tests.fakes.export_content import moving, write_store
from tests.fakes.movies import make_movie

TOLD = {"format": "fieldrec-export", "version": 2, "a": {"b": {}}, "text": "}\n\"ß",
        "frames": {"count": 0}, "gaps": {"lost": []}}


def test_the_first_line_is_a_whole_object(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4.json"
    path.write_bytes(text(TOLD))
    head = read_head(path)
    assert head.pop("tail_bytes") == path.stat().st_size - path.read_bytes().index(b"\n") - 1
    assert head == {key: value for key, value in TOLD.items() if key not in content.TAIL}
    assert {key: value for key, value in parse(path.read_bytes()).items()
            if key != "tail_bytes"} == TOLD


def test_long_parts_are_not_read_for_the_head(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4.json"
    good = text({**TOLD, "frames": {"data": "A" * 1000}})
    path.write_bytes(good.replace(b"A" * 1000, b"\xff\x00{]" * 250))
    assert read_head(path)["a"] == {"b": {}}
    with pytest.raises(ValueError, match=r"decode|codec"):
        parse(path.read_bytes())


@pytest.mark.parametrize("told", [TOLD, {"format": "x"}])
def test_no_cut_goes_unnoticed(tmp_path: Path, told: dict[str, Any]) -> None:
    path = tmp_path / "x.mp4.json"
    whole = text(told)
    for length in range(len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r".") as raised:
            read_head(path)
        assert isinstance(raised.value, ValueError), length
    path.write_bytes(whole + b" ")
    with pytest.raises(ValueError, match="cut short"):
        read_head(path)


def test_version_one_and_other_layouts_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4.json"
    for written in (json.dumps(TOLD), json.dumps(TOLD) + "\n", json.dumps(TOLD, indent=2),
                    "\n" + json.dumps(TOLD)):
        path.write_text(written)
        assert read_head(path) == TOLD
    for wrong in ("", "[1]", "{", "[" * 100_000, "\n"):
        path.write_text(wrong)
        with pytest.raises(ValueError, match=r"."):
            read_head(path)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_records_of_extra_data(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_BLOCK_BYTES", 60)
    records = [{"temperature": at / 2, "text": "ß\u2028\x85x\ud800", "frame_index": at}
               for at in range(count)]
    packed = json.loads(json.dumps(pack_records(records)))
    assert packed["count"] == count
    assert len(packed["blocks"]) == count, "each is longer than a block may be"
    assert list(unpack_records(packed)) == records
    assert list(unpack_records(records)) == records, "as version 1 had them"
    assert list(unpack_records(None)) == []


@pytest.mark.parametrize("wrong", [3, {"blocks": 1}, {"blocks": ["A"]}, {"blocks": ["AAAA"]}, [1]])
def test_records_that_are_damaged(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"extra data|padd|base64"):
        list(unpack_records(wrong))


@pytest.mark.parametrize(("name", "expected"), [
    ("a.high.mp4.json", True), ("a.lossless.mkv.json", True), ("a.own.avi.json", True),
    ("a.high.mp4", False), ("recovered.json", False), ("mp4.json", False)])
def test_which_names_are_sidecars(name: str, expected: bool) -> None:
    assert is_sidecar(name) is expected


# --- the sidecar, or what the movie carries -----------------------------------------------------

@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movies")
    store = write_store(folder / "bees", moving(4))
    return make_movie(store, folder / "bees.high.mp4").path


@pytest.fixture
def movie(made: Path, tmp_path: Path) -> Path:
    for path in (made, content.sidecar_path(made)):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / made.name


def test_the_sidecar_is_believed_first(movie: Path) -> None:
    found = content_of(movie)
    assert (found.origin, found.problems) == (content.sidecar_path(movie), ())
    assert found.is_verified
    renamed = movie.rename(movie.with_name("other.mp4"))
    content.sidecar_path(movie).rename(content.sidecar_path(renamed))
    assert content_of(renamed).problems == (), "both renamed: it is still the same movie's"


@pytest.mark.parametrize("spoil", ["gone", "cut", "garbage", "other size", "later version"])
def test_without_a_good_sidecar_the_movie_tells(movie: Path, spoil: str) -> None:
    beside = content.sidecar_path(movie)
    whole = beside.read_bytes()
    told = json.loads(whole)
    match spoil:
        case "gone":
            beside.unlink()
        case "cut":
            beside.write_bytes(whole[:-10])
        case "garbage":
            beside.write_bytes(b"\x00\xff")
        case "other size":
            beside.write_text(json.dumps({**told, "file": {"size_bytes": 3}}))
        case "later version":
            beside.write_text(json.dumps({**told, "version": 99}))
    found = content_of(movie)
    assert (found.origin, found.is_verified) == (movie, False)
    assert str(beside) in found.problems[0]
    for key in ("frames", "recording", "gaps", "request", "rules"):
        assert found.values[key] == told[key]


def test_a_movie_that_nothing_tells_of(movie: Path) -> None:
    content.sidecar_path(movie).unlink()
    with pytest.raises(NotFoundError, match="no such movie"):
        content_of(movie.with_name("none.mp4"))
    whole = movie.read_bytes()
    movie.write_bytes(whole[:whole.rindex(b"uuid") - 4])
    with pytest.raises(NotFoundError, match="carries nothing that fieldrec wrote"):
        content_of(movie)
    movie.write_bytes(whole.replace(b'"format":"fieldrec-export"', b'"format":"fieldrec-exporx"'))
    with pytest.raises(StoreDamaged, match="not about a movie"):
        content_of(movie)
