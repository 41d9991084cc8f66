"""Commands about recording under way: start, stop, pause, resume, step, split, configure; on the
daemon."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import click

from fieldrec.cli.out import echo
from fieldrec.cli.verbs import json_option, parse_metadata, with_daemon
from fieldrec.cli.where import Where, where_options
from fieldrec.core.errors import UsageError

_SPLIT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*\Z")
_SECONDS = {"s": 1, "sec": 1, "second": 1, "seconds": 1, "min": 60, "minute": 60, "minutes": 60,
            "h": 3600, "hour": 3600, "hours": 3600}


def parse_split(text: str) -> dict[str, Any]:
    """"10 min", "2 GB" or "1000 frames" as `record.split_after`; UsageError."""
    from pydantic import ValidationError

    from fieldrec.config.recording import SplitConfig

    match = _SPLIT.match(text)
    if match is None:
        raise UsageError(f"--split-after {text!r}: expected e.g. \"10 min\", \"2 GB\" or "
                         "\"1000 frames\"")
    number, unit = float(match[1]), match[2]
    if unit.lower() in _SECONDS:
        values: dict[str, Any] = {"seconds": number * _SECONDS[unit.lower()]}
    elif unit.lower() in ("frame", "frames"):
        values = {"frames": int(number) if number.is_integer() else number}
    else:
        values = {"bytes": text.strip()}
    try:
        return SplitConfig.model_validate(values).model_dump()
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"--split-after {text!r}: {reason}") from error


def how_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: --split-after and --trigger, handed over as `split_after` and `trigger`."""
    trigger = click.option("--trigger", type=click.Choice(["none", "motion"]),
                           help="motion: keep only what moves, a recording for each event.")
    split = click.option("--split-after", metavar="LENGTH",
                         help='Go on in a new recording after "10 min", "2 GB", "1000 frames".')
    return split(trigger(command))


@click.command("start")
@click.option("--name", help="First part of the recordings' names.")
@click.option("--duration", "duration_s", type=click.FloatRange(min=0, min_open=True),
              help="Seconds; default: as configured.")
@click.option("--camera", "cameras", multiple=True, help="Only these cameras (keys).")
@click.option("--meta", "meta", multiple=True, metavar="K=V", help="User metadata.")
@how_options
@where_options
@json_option
def start_command(where: Where, name: str | None, duration_s: float | None,
                  cameras: tuple[str, ...], meta: tuple[str, ...], split_after: str | None,
                  trigger: str | None, as_json: bool) -> None:
    """Start recording on the daemon."""
    from fieldrec.cli.tables import print_json

    split = None if split_after is None else parse_split(split_after)
    names = with_daemon(where, lambda link: link.call(
        "start", name=name, duration_s=duration_s, cameras=list(cameras) or None,
        metadata=parse_metadata(meta), split_after=split, trigger=trigger))
    if as_json:
        print_json(names)
    else:
        echo("recording " + " ".join(names) if names else "armed: motion begins a recording")


@click.command("stop")
@where_options
@json_option
def stop_command(where: Where, as_json: bool) -> None:
    """Stop recording on the daemon; stores are complete when this returns."""
    from fieldrec.cli.tables import print_json

    names = with_daemon(where, lambda link: link.call("stop"))
    if as_json:
        print_json(names)
    else:
        echo("stopped " + " ".join(names) if names else "nothing was recording")


@click.command("pause")
@where_options
@json_option
def pause_command(where: Where, as_json: bool) -> None:
    """Keep no more frames until `resume`; the recordings stay open, the gap is marked."""
    _cameras(where, "pause", "paused", as_json)


@click.command("resume")
@where_options
@json_option
def resume_command(where: Where, as_json: bool) -> None:
    """Go on after `pause`."""
    _cameras(where, "resume", "recording again", as_json)


@click.command("step")
@click.argument("frames", type=click.IntRange(min=1), default=1)
@where_options
@json_option
def step_command(where: Where, frames: int, as_json: bool) -> None:
    """While paused: keep the next FRAMES frames of each camera."""
    _cameras(where, "step", f"{frames} of", as_json, frames=frames)


@click.command("split")
@where_options
@json_option
def split_command(where: Where, as_json: bool) -> None:
    """Go on in new recordings, without losing a frame."""
    _cameras(where, "split", "split", as_json)


def _cameras(where: Where, verb: str, said: str, as_json: bool, **arguments: Any) -> None:
    """A verb for all cameras that record; which did it."""
    from fieldrec.cli.tables import print_json

    keys = with_daemon(where, lambda link: link.call(verb, **arguments))
    print_json(keys) if as_json else echo(f"{said} {' '.join(keys)}")


@click.command("configure")
@click.argument("camera")
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]...")
@where_options
@json_option
def configure_command(where: Where, camera: str, values: tuple[str, ...], as_json: bool) -> None:
    """Set parameters of CAMERA ("all": of every camera) while it runs; without any, list them."""
    from fieldrec.camera.parameter_values import parse_values
    from fieldrec.cli.tables import print_json

    wanted = parse_values(values)
    found = with_daemon(where, lambda link: link.call("configure", camera=camera,
                                                      values=wanted or None))
    if as_json:
        print_json(found)
    else:
        _print_parameters(found, wanted)


def _print_parameters(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """One row each: camera, name, value, what it may be; only those that were set, if any were."""
    from fieldrec.camera.parameters import allowed
    from fieldrec.cli.tables import print_table
    from fieldrec.status.control_socket import PARAMETERS

    rows = [(key, one.name, f"{one.value}{' ' + one.unit if one.unit else ''}",
             allowed(one) if one.writable else "read only",
             "" if one.live or not one.writable else "not while recording", one.alias)
            for key, parameters in PARAMETERS.validate_python(dict(found)).items()
            for one in parameters
            if not wanted or one.name in wanted or one.alias in wanted]
    if rows:
        print_table("", ("camera", "parameter", "value", "allowed", "when", "also"), rows)
    else:
        echo("no parameters")
