"""`fieldrec awake` and `fieldrec stay-awake`: what keeps the box from sleeping (daemon)."""

from __future__ import annotations

import re
from typing import Any

import click

from fieldrec.cli.out import echo
from fieldrec.cli.verbs import json_option, with_daemon
from fieldrec.cli.where import Where, where_options
from fieldrec.core.errors import UsageError

_TIME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.I)
_SECONDS = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400}


@click.command("awake")
@json_option
@where_options
def awake_command(where: Where, as_json: bool) -> None:
    """Say who keeps the box awake and until when, and what will wake it."""
    from fieldrec.cli.tables import print_json, print_table
    from fieldrec.status import words
    from fieldrec.status.control_socket import AWAKE

    answer = with_daemon(where, lambda link: link.call("awake"))
    if as_json:
        print_json(answer)
        return
    status = AWAKE.validate_python(answer)
    if status.holders:
        print_table("", ("held awake by", "since", "at most until"), [
            (words.safe_text(one.name), words.utc(one.since_ns),
             "it ends" if one.until_ns is None else words.utc(one.until_ns))
            for one in status.holders])
    echo(f"now: {status.why}")
    wanted = "nothing is scheduled" if status.wanted_ns is None else words.utc(status.wanted_ns)
    alarm = "none set" if status.alarm_ns is None else words.utc(status.alarm_ns)
    echo(f"wanted next: {wanted}; wake-up in the RTC: {alarm}")
    if status.problem:
        echo(f"cannot be woken: {status.problem}")


@click.command("stay-awake")
@click.argument("time")
@where_options
def stay_awake_command(where: Where, time: str) -> None:
    """Keep the box awake for TIME from now (30min, 2h, 1d, 90s); 0 ends that."""
    seconds = seconds_of(time)

    async def ask(link: Any) -> Any:
        return await link.call("stay_awake", seconds=seconds)

    echo(with_daemon(where, ask))


def seconds_of(text: str) -> float:
    """Seconds of "30min", "2 h", "90" (seconds). UsageError."""
    found = _TIME.fullmatch(text)
    unit = _SECONDS.get((found[2] or "s").lower()) if found else None
    if found is None or unit is None:
        raise UsageError(f"{text!r} is no time: use 90s, 30min, 2h or 1d")
    return float(found[1]) * unit
