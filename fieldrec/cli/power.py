"""`fieldrec power`: reads every configured source once, for whoever wires a battery."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

import click

from fieldrec.cli.out import echo
from fieldrec.cli.where import Where, where_options
from fieldrec.core.errors import PowerError

if TYPE_CHECKING:
    from fieldrec.config import PowerConfig
    from fieldrec.core.model import PowerState
    from fieldrec.core.power_reading import PowerReading
    from fieldrec.power import Source


@click.command("power")
@where_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def power_command(where: Where, as_json: bool) -> None:
    """Read every power source once and say what each says, and what all mean together.

    Works beside a running daemon. The exit code is 50 when a source could not be read.
    """
    from fieldrec.cli.link import run
    from fieldrec.cli.tables import print_json

    config = where.load().power
    said: list[tuple[str, str, PowerReading]] = []

    async def look() -> PowerState:
        said.extend(await _read_all(config))
        return _judged(config, [reading for _, _, reading in said])

    state = run(look)
    if as_json:
        print_json({"sources": [{"name": name, "read": when, **_plain(reading)}
                                for name, when, reading in said], "together": _plain(state)})
    else:
        _print(said, state)
    silent = [f"{name}: {reading.problem}" for name, _, reading in said if reading.problem]
    if silent:
        raise PowerError(f"{len(silent)} of {len(said)} power sources cannot be read: "
                         f"{'; '.join(silent)}")


async def _read_all(config: PowerConfig) -> list[tuple[str, str, PowerReading]]:
    """Name, when it would be read, and reading of each source."""
    from fieldrec.core.clock import SystemClock
    from fieldrec.power.configured import make_sources

    sources = make_sources(config, SystemClock())
    try:
        reports = [source.start(lambda: None) for source in sources]
        readings = await asyncio.gather(*(source.read() for source in sources))
        return [(source.name, _when(source, config, hears), reading)
                for source, hears, reading in zip(sources, reports, readings, strict=True)]
    finally:
        for source in sources:
            source.close()
        await asyncio.sleep(0)


def _when(source: Source, config: PowerConfig, reports: bool) -> str:
    if source.every_s is not None:
        return "once" if source.every_s == float("inf") else f"every {source.every_s:g} s"
    if reports:
        return f"at each change, and every {config.poll_s:g} s"
    return f"every {min(config.poll_often_s, config.poll_s):g} s"


def _judged(config: PowerConfig, readings: list[PowerReading]) -> PowerState:
    from fieldrec.power.combined import combined
    from fieldrec.power.levels import PowerJudge

    return PowerJudge(config).update(
        combined(readings, mains_if=config.mains_if, disagree_percent=config.disagree_percent), 0)


def _print(said: list[tuple[str, str, PowerReading]], state: PowerState) -> None:
    from fieldrec.cli.tables import print_table
    from fieldrec.status.words import describe_power, safe_text

    print_table("", ("source", "says", "read"),
                [(name, in_words(reading), when) for name, when, reading in said])
    echo(f"together: {describe_power(state)}")
    echo(f"why: {safe_text(state.reason, 2000)}")


def in_words(reading: PowerReading) -> str:
    """"on battery, 64 %, 11.40 V, 5.7 W, 11.4 of 20.0 Wh"; what is wrong where it cannot be
    read."""
    from fieldrec.status.words import duration

    if reading.source == "none":
        return "no battery found: taken as mains"
    mains = {True: "on mains", False: "on battery", None: "mains unknown"}[reading.on_mains]
    said = [f"cannot be read: {reading.problem}"] if reading.problem else []
    said.append(mains)
    if reading.charge_percent is not None:
        said.append(f"{reading.charge_percent:.0f} %")
    if reading.charging is not None:
        said.append("charging" if reading.charging else "discharging")
    if reading.voltage_mv is not None:
        said.append(f"{reading.voltage_mv / 1000:.2f} V")
    if reading.power_mw is not None:
        said.append(f"{reading.power_mw / 1000:.1f} W")
    if reading.energy_mwh is not None:
        full_mwh = reading.energy_full_mwh
        full = "" if full_mwh is None else f" of {full_mwh / 1000:.1f}"
        said.append(f"{reading.energy_mwh / 1000:.1f}{full} Wh")
    if reading.runtime_s is not None:
        said.append(f"{duration(reading.runtime_s)} left by its own reckoning")
    if reading.says is not None:
        said.append(f"calls it {reading.says.value}")
    if reading.forced:
        said.append("is about to cut the power")
    return ", ".join(said) + (f" ({reading.note})" if reading.note else "")


def _plain(values: PowerReading | PowerState) -> dict[str, Any]:
    plain = dataclasses.asdict(values)
    return {key: getattr(value, "value", value) for key, value in plain.items()}
