"""What `show` says of an exported movie, whether its sidecar is there or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fieldrec.catalogue.movie_report import movie_report
from fieldrec.cli.show_movie import as_json, movie_rows
from fieldrec.cli.where import Where
from fieldrec.core.errors import FieldrecError, NotFoundError, StoreDamaged
from fieldrec.export.sidecar import TRANSCODE_FORMAT
from fieldrec.store.movie.content import sidecar_path
from fieldrec.store.writer import StoreWriter
from tests.fakes.export_content import MONO, moving, uneven_times, write_store
from tests.fakes.movies import make_movie


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gaps of each kind, and extra data."""
    path = tmp_path_factory.mktemp("stores") / "bees_20261121_060000"
    writer = StoreWriter(path, MONO, chunksize=6, timezone="Europe/Vienna",
                         created_epoch_ns=1_795_000_000_000_000_000, user_metadata={
                             "observer": "Ada", "fieldrec": {"camera_serial": "cam-7"}})
    times_ns = uneven_times(20)
    for at, pixels in enumerate(moving(12)):
        number = at if at < 4 else at + 3 if at < 8 else at + 8
        if at == 8:
            writer.add_extra_data(lost_first_number=11, lost_last_number=12, lost_count=2,
                                  lost_first_time_ns=int(times_ns[7]) + 1,
                                  lost_last_time_ns=int(times_ns[8]) - 1)
        writer.append(pixels, number, int(times_ns[at]), None)
        writer.add_extra_data(temperature=at / 2)
    writer.close({})
    return path


def rows_of(movie: Path) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for key, value in movie_rows(movie_report(movie)):
        rows.setdefault(key.strip(), []).append(value)
    return rows


def test_everything_by_its_sidecar(store: Path, tmp_path: Path) -> None:
    rows = rows_of(make_movie(store, tmp_path / "bees.high.mp4").path)
    assert rows["told by"] == ["its sidecar"]
    assert rows["recording"] == ["bees_20261121_060000"]
    assert rows["camera"] == ["cam-7"]
    assert len(rows["uuid"][0]) == 32
    assert rows["when"][0].startswith("2026-11-18 12:06:40.123 to 12:06:40.")
    assert rows["frames"] == ["12, numbers 0 to 19"]
    assert rows["picture"] == ["160x120 MONO8, as yuv420p 160x120"]
    assert rows["missing"] == ["6 dropped by the camera, 2 lost (our ring was full)"]
    assert rows["gap"][0].startswith("3 frames dropped from number 4 on, after 12:06:40")
    assert any(gap.startswith("2 frames lost from number 11 on, from 12:06:40")
               for gap in rows["gap"])
    assert rows["preset"][0].startswith("High (crf 18, speed veryfast")
    assert "libx264 veryfast crf 18" in rows["encoder"][0]
    assert "libavcodec" in rows["versions"][0]
    assert any(rule.startswith("range: limited") for rule in rows["rules"])
    assert rows["quality"] == ["PSNR 40 dB at least, 45 dB in the mean"]
    assert "xxh64" in rows["verified"][0]
    assert rows["extra data"][0].startswith("13 records")
    assert rows["meta observer"] == ["Ada"]
    assert "problem" not in rows
    assert "unreadable" not in rows


def test_the_same_from_the_movie_itself(store: Path, tmp_path: Path) -> None:
    movie = make_movie(store, tmp_path / "bees.lossless.mkv", "Lossless").path
    before = rows_of(movie)
    sidecar_path(movie).unlink()
    rows = rows_of(movie)
    assert rows["told by"] == ["the movie itself: it was written before it was verified"]
    assert "is not there" in rows["problem"][0]
    assert rows["verified"] == ["not said here: only the sidecar of a verified movie does"]
    assert rows["picture"] == ["160x120 MONO8, as gray 160x120, every bit as recorded"]
    for key in ("recording", "uuid", "when", "frames", "missing", "gap", "preset", "encoder",
                "extra data", "rules"):
        assert rows[key] == before[key]


def test_slices_and_unreadable_frames(store: Path, tmp_path: Path) -> None:
    rows = rows_of(make_movie(store, tmp_path / "bees.high.002.mp4", first=4, end=12,
                              unreadable=(5, 6), slices=(2, 2)).path)
    assert rows["slice"] == ["2 of 2"]
    assert rows["frames"] == ["6, numbers 7 to 19, index 4 to 11 of the 12 of the recording"]
    assert rows["unreadable"][0].startswith("2 frames of the raw recording could not be read")
    assert rows["unreadable"][1] == "  index 5, number 8: cut"
    assert rows["missing"] == ["3 dropped by the camera, 2 lost (our ring was full)"], (
        "nobody dropped the unreadable ones")


def test_a_transcode_is_no_export(store: Path, tmp_path: Path) -> None:
    rows = rows_of(make_movie(store, tmp_path / "film.mp4", form=TRANSCODE_FORMAT).path)
    assert "movie" in rows
    assert "export" not in rows


def test_a_sidecar_of_version_one(store: Path, tmp_path: Path) -> None:
    movie = make_movie(store, tmp_path / "bees.high.mp4", embeds=False).path
    told = json.loads(sidecar_path(movie).read_bytes())
    frames = {"number": list(range(12)), "time_ns": [at * 10**7 for at in range(12)]}
    sidecar_path(movie).write_text(json.dumps({
        **{key: told[key] for key in ("format", "recording", "user_metadata", "preset", "file",
                                      "frame_count", "verified_at_ns", "codec", "encoder")},
        "version": 1, "quality": {"psnr_min_db": 30.0, "psnr_mean_db": 31.5}, "frames": frames}))
    rows = rows_of(movie)
    assert rows["missing"] == ["none"]
    assert rows["quality"] == ["PSNR 30 dB at least, 31.5 dB in the mean"]


def test_for_programs(store: Path, tmp_path: Path) -> None:
    movie = make_movie(store, tmp_path / "bees.high.mp4").path
    told = json.loads(json.dumps(as_json(movie_report(movie)), allow_nan=False))
    assert (told["movie"], told["missing"]["lost"], told["store"]["number_last"]) == (
        str(movie), 2, 19)
    assert told["request"]["crf"] == 18
    assert "frames" not in told


@pytest.mark.parametrize("spoil", [
    {"gaps": {"dropped": [{"count": "x", "first_number": 1}]}}, {"gaps": {"lost": 3}},
    {"unreadable": [{"index": "x", "reason": ""}]}, {"unreadable": 3}, {"recording": 3}])
def test_nonsense_is_one_line(store: Path, tmp_path: Path, spoil: dict[str, object]) -> None:
    movie = make_movie(store, tmp_path / "bees.high.mp4").path
    told = json.loads(sidecar_path(movie).read_bytes())
    sidecar_path(movie).write_text(json.dumps({**told, **spoil}))
    with pytest.raises(StoreDamaged, match="damaged"):
        movie_report(movie)


def test_a_command_takes_a_movie_for_a_store(store: Path, tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    where = Where(None, tmp_path)
    movie = make_movie(store, tmp_path / "bees.high.mp4").path
    assert where.store("bees.high.mp4") == movie, "in the recordings folder"
    assert where.store(str(movie)) == movie
    monkeypatch.chdir(tmp_path)
    assert where.store("./bees.high.mp4") == Path("bees.high.mp4")
    with pytest.raises(FieldrecError):
        where.store("none.mp4")
    with pytest.raises(NotFoundError):
        where.store(str(tmp_path / "none.mp4"))
    (tmp_path / "notes.txt").touch()
    with pytest.raises(NotFoundError, match="it is a file"):
        where.store(str(tmp_path / "notes.txt"))


def test_a_movie_of_nobody(tmp_path: Path) -> None:
    movie = make_movie(write_store(tmp_path / "bees", moving(2)), tmp_path / "x.mp4",
                       embeds=False).path
    sidecar_path(movie).unlink()
    with pytest.raises(NotFoundError, match="carries nothing"):
        movie_report(movie)
