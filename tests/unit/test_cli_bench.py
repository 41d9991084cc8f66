"""The bench of exports: what it reads of the machine, and that its figures are those of exports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fieldrec.cli import bench
from fieldrec.cli.bench_energy import Discharge, Rapl, meter
from fieldrec.cli.bench_export import Measured, NotMeasured
from fieldrec.cli.main import cli
from fieldrec.core.errors import JobRefused, UsageError
from tests.fakes.recordings import small_recording

HIGH = Measured("High", frames=100, pixels=100_000_000, encode_s=8.0, verify_s=2.0, cpu_s=15.0,
                peak_bytes=250_000_000, size_bytes=1_000_000, psnr_mean_db=41.2, ssim_mean=0.971,
                exact=False, joules=None)


def supplies(root: Path, name: str, **files: object) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    for key, value in files.items():
        (folder / key).write_text(f"{value}\n")
    return folder


def test_the_processors_counters_are_read_over_their_wrap(tmp_path: Path) -> None:
    rapl = supplies(tmp_path / "powercap", "intel-rapl:0", energy_uj=9_000_000,
                    max_energy_range_uj=10_000_000)
    supplies(tmp_path / "powercap", "intel-rapl:0:0", energy_uj=5, max_energy_range_uj=10)
    found = meter(tmp_path)
    assert isinstance(found, Rapl)
    assert found.counters == (rapl,)
    found.look()
    (rapl / "energy_uj").write_text("9500000")
    found.look()
    (rapl / "energy_uj").write_text("500000")
    found.look()
    assert found.joules == pytest.approx(0.5 + 1.0)


def test_on_battery_its_discharge_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supplies(tmp_path / "powercap", "intel-rapl:0", energy_uj=1, max_energy_range_uj=10)
    battery = supplies(tmp_path / "power_supply", "BAT0", type="Battery", present=1,
                       status="Discharging", capacity=50, power_now=6_000_000)
    supplies(tmp_path / "power_supply", "AC", type="Mains", online=0)
    now_s = iter((10.0, 20.0))
    monkeypatch.setattr("fieldrec.cli.bench_energy.time.monotonic", lambda: next(now_s))
    found = meter(tmp_path)
    assert isinstance(found, Discharge)
    found.look()
    (battery / "power_now").write_text("8000000\n")
    found.look()
    assert found.joules == pytest.approx(70.0)


def test_a_machine_that_tells_nothing_has_no_meter(tmp_path: Path) -> None:
    assert meter(tmp_path) is None
    supplies(tmp_path / "powercap", "intel-rapl:0", enabled=1)  # not to this user
    assert meter(tmp_path) is None


def test_an_hour_of_recording_in_hours_and_watt_hours() -> None:
    assert bench.hours_per_hour(HIGH, 30.0) == pytest.approx(3.0)
    assert bench.watt_hours(HIGH, 30.0, None) is None
    assert bench.watt_hours(HIGH, 30.0, 5.0) == pytest.approx(15.0)


def test_the_table_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    bench._show([HIGH, NotMeasured("AV1", "slower than 0.5 frames/s")], "bees", 30.0, 5.0, None)
    said = capsys.readouterr().out
    row = next(line.split() for line in said.splitlines() if line.strip().startswith("High"))
    assert row == ["High", "10.0", "150.0", "0.080", "41.2", "0.971", "250", "3.00", "4.50",
                   "15.00"]
    assert "AV1: not measured: slower than 0.5 frames/s" in said
    assert "Wh: taken from --watts 5, not measured." in said
    assert all(len(line.rstrip()) <= 90 for line in said.splitlines())


def test_it_exports_frames_of_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_recording(tmp_path / "frogs")
    (tmp_path / "work").mkdir()
    cli(["bench", "export", str(tmp_path / "frogs"), "--preset", "hq", "--frames", "8",
         "--directory", str(tmp_path / "work"), "--watts", "4", "--json"], standalone_mode=False)
    said = json.loads(capsys.readouterr().out)
    high = said["presets"][0]
    assert (said["nominal_hz"], high["preset"], high["frames"]) == (25.0, "High", 8)
    assert high["pixels"] == 8 * 160 * 120
    assert high["psnr_mean_db"] > 30
    assert high["encode_s"] > 0 and high["cpu_s"] >= 0 and high["peak_bytes"] > 10e6
    assert high["watt_hours_per_hour"] == pytest.approx(4 * high["hours_per_hour"])
    assert list((tmp_path / "work").iterdir()) == []


def test_it_refuses_in_one_line(tmp_path: Path) -> None:
    for arguments, error, says in (
            (("--size", "wide"), UsageError, "WIDTHxHEIGHT"),
            (("--preset", "Hihg"), UsageError, "did you mean High"),
            ((str(small_recording(tmp_path / "none", 0)),), JobRefused, "no frames")):
        with pytest.raises(error, match=says):
            cli(["bench", "export", "--directory", str(tmp_path), *arguments],
                standalone_mode=False)
    assert [path.name for path in tmp_path.iterdir()] == ["none"]
