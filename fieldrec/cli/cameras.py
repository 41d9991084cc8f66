"""`fieldrec cameras`: which cameras are there, and which of the configuration's are not."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from fieldrec.cli.where import Where, where_options

SHOWN_FORMATS = 3

Entry = tuple[Any, str]
"""A FoundCamera and the key under which the configuration has it, or ""."""


@click.command("cameras")
@click.option("--backend", "only", multiple=True, help="Ask this backend alone. Repeat for more.")
@where_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cameras_command(where: Where, only: tuple[str, ...], as_json: bool) -> None:
    """List the cameras that are found, and those of the configuration that are missing.

    The first column is what --camera and `view camera:` take. No camera is disturbed.
    """
    from fieldrec.camera.discovery import options_model
    from fieldrec.camera.looking import finders, look

    for name in only:
        options_model(name)  # refuses one that does not exist
    config = where.load()
    asked = {name: find for name, find in finders().items() if not only or name in only}
    found = look(asked)
    cameras = [camera for camera in found if camera.serial]
    problems = [camera for camera in found if not camera.serial and camera.problem]
    entries = [(camera, key_of(camera, config.cameras)) for camera in cameras]
    wanted = {key: (camera, state_of(key, camera.backend, entries, problems, asked))
              for key, camera in config.cameras.items() if not only or camera.backend in only}
    if as_json:
        _print_json(entries, problems, wanted)
    else:
        _print(entries, problems, wanted)


def key_of(camera: Any, configured: Mapping[str, Any]) -> str:
    """Under which key the configuration has a camera that was found; "" where it has not."""
    for key, entry in configured.items():
        if entry.backend != camera.backend:
            continue
        names = {str(entry.options.get(name, "")) for name in ("device", "usb_path", "address")}
        place = camera.spec.partition(":")[2]
        if (entry.serial or key) == camera.serial or {camera.serial, place} & (names - {""}):
            return key
    return ""


def state_of(key: str, backend: str, entries: Iterable[Entry], problems: Iterable[Any],
             asked: Iterable[str]) -> str:
    """Whether a camera of the configuration is there; "not looked for" where nobody can say."""
    if any(there == key for _, there in entries):
        return "present"
    if backend in ("synthetic", "file") or backend not in set(asked):
        return "not looked for"
    return "unknown" if any(one.backend == backend for one in problems) else "missing"


def _print(entries: Sequence[Entry], problems: Sequence[Any],
           wanted: Mapping[str, tuple[Any, str]]) -> None:
    from fieldrec.cli.out import echo
    from fieldrec.cli.tables import print_table
    from fieldrec.status import words

    print_table("", ("camera", "serial", "model", "link", "formats", "configured as"), [
        [camera.spec, camera.serial, camera.model, camera.link, formats(camera), key]
        for camera, key in entries])
    for key, (camera, state) in wanted.items():
        if state != "present":
            echo(f"{key} ({camera.backend}, serial {camera.serial or key}): {state}")
    for problem in (*problems, *(camera for camera, _ in entries if camera.problem)):
        name = problem.spec or problem.backend
        line = words.safe_text(f"{name}: {' '.join(problem.problem.split())}", 600)
        echo(click.style(line, dim=True) if sys.stdout.isatty() else line)


def formats(camera: Any) -> str:
    """The first few of them."""
    shown = ", ".join(camera.formats[:SHOWN_FORMATS])
    more = len(camera.formats) - SHOWN_FORMATS
    return f"{shown}, … {len(camera.formats)} in all" if more > 0 else shown


def _print_json(entries: Sequence[Entry], problems: Sequence[Any],
                wanted: Mapping[str, tuple[Any, str]]) -> None:
    from fieldrec.cli.tables import print_json

    print_json({
        "cameras": [dataclasses.asdict(camera) | {"configured_as": key or None}
                    for camera, key in entries],
        "configured": [{"key": key, "backend": camera.backend, "serial": camera.serial or key,
                        "state": state} for key, (camera, state) in wanted.items()],
        "problems": [{"backend": one.backend, "problem": one.problem} for one in problems]})
