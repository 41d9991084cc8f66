"""What the commands about recording make of their arguments."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from fieldrec.camera.parameter_values import parse_values
from fieldrec.camera.parameters import Parameter
from fieldrec.cli.recording_verbs import _print_parameters, configure_command, parse_split
from fieldrec.core.errors import UsageError
from fieldrec.status.control_socket import PARAMETERS


@pytest.mark.parametrize(("text", "key", "value"), [
    ("10 min", "seconds", 600), ("1.5h", "seconds", 5400), ("90 s", "seconds", 90),
    ("2 GB", "bytes", 2 * 10**9), ("512 MiB", "bytes", 512 * 2**20),
    ("1000 frames", "frames", 1000)])
def test_a_length(text: str, key: str, value: float) -> None:
    asked = parse_split(text)
    assert asked[key] == value
    assert {name for name, given in asked.items() if given is not None} == {key}


@pytest.mark.parametrize("text", ["", "soon", "10", "1 frames", "2.5 frames", "0.1 s", "10 kB",
                                  "-5 min", "5 parsecs"])
def test_no_length(text: str) -> None:
    with pytest.raises(UsageError, match="--split-after"):
        parse_split(text)


def test_values() -> None:
    assert parse_values(["Gain=2", " Name = a=b "]) == {"Gain": "2", "Name": "a=b"}
    for wrong in ("Gain", "=2", "Gain="):
        with pytest.raises(UsageError, match="expected NAME=VALUE"):
            parse_values([wrong])


def test_parameters_are_listed_with_ranges(capsys: pytest.CaptureFixture[str]) -> None:
    left = (Parameter("Gain", 1.5, 0.0, 24.0, unit="dB"),
            Parameter("Width", 640, 16, 1280, 16, unit="px", live=False),
            Parameter("Model", "x", writable=False))
    found: dict[str, Any] = PARAMETERS.dump_python({"left": left}, mode="json")
    _print_parameters(found, {})
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "left Gain 1.5 dB 0 to 24 dB" in rows
    assert "left Width 640 px 16 to 1280 px, in steps of 16 not while recording" in rows
    assert "left Model x read only" in rows
    _print_parameters(found, {"Gain": "1.5"})
    assert "Width" not in capsys.readouterr().out
    _print_parameters({}, {})
    assert capsys.readouterr().out == "no parameters\n"


def test_a_wrong_pair_asks_nobody() -> None:
    done = CliRunner().invoke(configure_command, ["left", "Gain"])
    assert isinstance(done.exception, UsageError)
