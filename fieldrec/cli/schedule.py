"""`fieldrec schedule`: what happens when. On the daemon; list, next, simulate also without one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from fieldrec.cli.out import echo
from fieldrec.cli.verbs import json_option, parse_metadata, with_daemon
from fieldrec.cli.where import Where, where_options
from fieldrec.core.errors import UsageError

if TYPE_CHECKING:
    from fieldrec.schedule.rows import Row
    from fieldrec.schedule.simulate import Simulated

DAY_NS = 86_400 * 1_000_000_000
_TIMES = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S",
          "%Y-%m-%dT%H:%M:%S")


@click.group("schedule")
def schedule_command() -> None:
    """Recordings and other tasks by the clock and the sun."""


@schedule_command.command("list")
@where_options
@json_option
def list_(where: Where, as_json: bool) -> None:
    """List the tasks, and when each is due next."""
    from fieldrec.cli.tables import print_json, print_table
    from fieldrec.status.control_socket import ROWS

    rows, zone, now_ns = _rows(where)
    if as_json:
        print_json(ROWS.dump_python(rows, mode="json"))
    elif rows:
        print_table("", ("task", "when", "does", "next", "from"),
                    [(row.name, row.when, row.does, _next(row, zone, now_ns),
                      "configuration" if row.from_config else "added") for row in rows])
    else:
        echo("no tasks; add one with `fieldrec schedule add`, or in the configuration")


@schedule_command.command("next")
@where_options
@json_option
def next_(where: Where, as_json: bool) -> None:
    """Say what is due next, the soonest first."""
    from fieldrec.cli.tables import print_json
    from fieldrec.status.control_socket import ROWS

    rows, zone, now_ns = _rows(where)
    due = sorted((row for row in rows if row.next_ns is not None or row.running_until_ns),
                 key=lambda row: (not row.running_until_ns, row.next_ns or 0))
    if as_json:
        print_json(ROWS.dump_python(tuple(due), mode="json"))
    for row in () if as_json else due:
        echo(f"{row.name}: {_next(row, zone, now_ns)}: {row.does}")
    if not due and not as_json:
        echo("nothing is due, as far as can be seen")


@schedule_command.command("add")
@click.argument("name")
@click.option("--when", required=True,
              help='A cron line ("0 6 * * *"; 5, 6 or 7 fields), or a window '
                   '("from dusk-30m to dawn").')
@click.option("--do", "do", required=True,
              type=click.Choice(["start", "stop", "copy_all", "export_all", "configure", "output"]))
@click.option("--duration", help='Of a recording that a cron line starts: "10min", "90 s".')
@click.option("--name", "recording_name", help="First part of the recordings' names.")
@click.option("--meta", multiple=True, metavar="K=V", help="User metadata of the recordings.")
@click.option("--camera", "cameras", multiple=True, help="Only this camera (again: and this).")
@click.option("--preset", help="Of the export: of these recordings later, or of all now.")
@click.option("--destination", help="copy_all: a configured name, a folder, drive, drive:LABEL.")
@click.option("--delete-after", is_flag=True, help="Delete the source, or the raw, once verified.")
@click.option("--set", "values", multiple=True, metavar="NAME=VALUE", help="configure: parameters.")
@click.option("--output", help="output: its name, such as UserOutput1.")
@click.option("--on/--off", "value", default=None, help="output: how it is switched.")
@click.option("--camera-relative", is_flag=True, help="Count from the recording's beginning.")
@where_options
@json_option
def add(where: Where, name: str, as_json: bool, **options: Any) -> None:
    """Add a task, kept over restarts of the daemon."""
    told = _told(**options)
    _changed(where, as_json, "schedule_add", name=name, told=told)


@schedule_command.command("remove")
@click.argument("name")
@where_options
def remove(where: Where, name: str) -> None:
    """Take an added task away; the configuration's can only be switched off."""
    echo(with_daemon(where, lambda link: link.call("schedule_remove", name=name)))


@schedule_command.command("clear")
@where_options
def clear(where: Where) -> None:
    """Take away every task that was added."""
    echo(with_daemon(where, lambda link: link.call("schedule_clear")))


@schedule_command.command("off")
@click.argument("name")
@where_options
@json_option
def off(where: Where, name: str, as_json: bool) -> None:
    """Switch a task off for now, over restarts too; a recording of it ends."""
    _changed(where, as_json, "schedule_switch", name=name, on=False)


@schedule_command.command("on")
@click.argument("name")
@where_options
@json_option
def on(where: Where, name: str, as_json: bool) -> None:
    """Switch a task on again."""
    _changed(where, as_json, "schedule_switch", name=name, on=True)


@schedule_command.command("simulate")
@click.option("--days", type=click.FloatRange(min=0, min_open=True, max=400),
              help="How far to look; default 1.")
@click.option("--from", "since", metavar="TIME", help="Local time, 2026-11-21 or "
                                                      "\"2026-11-21 20:00\"; default: now.")
@click.option("--to", "until", metavar="TIME", help="Local time, in place of --days.")
@where_options
@json_option
def simulate_(where: Where, days: float | None, since: str | None, until: str | None,
              as_json: bool) -> None:
    """Print what would happen, in order, with a forecast of disk and battery. Nothing is done."""
    from fieldrec.cli.tables import print_json
    from fieldrec.status.control_socket import SIMULATED

    config = where.load()
    zone, now_ns = ZoneInfo(config.system.timezone), _now_ns()
    if until is not None and days is not None:
        raise UsageError("give --days or --to, not both")
    since_ns = now_ns if since is None else _local(since, zone, "--from")
    until_ns = since_ns + int((days or 1) * DAY_NS) if until is None \
        else _local(until, zone, "--to")
    told = _on_daemon(where, "schedule_simulate", since_ns=since_ns, until_ns=until_ns)
    simulated = _simulated_here(where, since_ns, until_ns) if told is None \
        else SIMULATED.validate_python(told)
    if as_json:
        print_json(SIMULATED.dump_python(simulated, mode="json"))
    else:
        _print_simulated(simulated, zone)


# --- asking ---------------------------------------------------------------------------------------


def _on_daemon(where: Where, verb: str, **arguments: Any) -> Any:
    """What the daemon answers; None when none runs."""
    from fieldrec.cli.link import find_owner, run
    from fieldrec.cli.where import recordings_folders

    folders = recordings_folders(where.load())

    async def asked() -> Any:
        owner = await find_owner(*folders)
        return None if owner is None else await owner.call(verb, **arguments)

    return run(asked)


def _rows(where: Where) -> tuple[tuple[Row, ...], ZoneInfo, int]:
    from fieldrec.schedule.calendar import Calendar
    from fieldrec.schedule.rows import rows
    from fieldrec.status.control_socket import ROWS

    config, now_ns = where.load(), _now_ns()
    zone = ZoneInfo(config.system.timezone)
    told = _on_daemon(where, "schedule_list")
    if told is not None:
        return ROWS.validate_python(told), zone, now_ns
    table, place = _kept(config)
    return tuple(rows(table, Calendar(table.active, zone, place), now_ns)), zone, now_ns


def _kept(config: Any) -> tuple[Any, Any]:
    """The tasks of the configuration and those that were added, and the place; without a daemon."""
    from fieldrec.cli.where import recordings_folders
    from fieldrec.core.folder import PRIVATE_NAME
    from fieldrec.schedule.keeping import (
        MEMORY_NAME,
        Kept,
        configured_place,
        remembered_place,
        take_added,
    )
    from fieldrec.schedule.table import Table

    table, place = Table(config), configured_place(config)
    for folder in recordings_folders(config):
        private = folder / PRIVATE_NAME
        if private.is_dir():
            take_added(table, private, lambda text, _severity: click.echo(
                f"fieldrec: {text}", err=True))
            if place is None and config.schedule.location is not None:
                place = remembered_place(Kept(private / MEMORY_NAME).read()[0])
            break
    return table, place


def _simulated_here(where: Where, since_ns: int, until_ns: int) -> Simulated:
    from fieldrec.app.foresight import rate_of, with_forecast
    from fieldrec.app.schedule_verbs import check_span
    from fieldrec.catalogue.scan import scan
    from fieldrec.cli.where import recordings_folders
    from fieldrec.jobs.forecast import Disk
    from fieldrec.record.storage import StorageGuard
    from fieldrec.schedule.calendar import Calendar
    from fieldrec.schedule.simulate import simulate

    check_span(since_ns, until_ns)
    config = where.load()
    zone = ZoneInfo(config.system.timezone)
    table, place = _kept(config)
    folders = [folder for folder in recordings_folders(config) if folder.is_dir()]
    rate = rate_of(scan(*folders))
    guards = [StorageGuard(folder, config.storage) for folder in folders]
    left_bytes = sum(guard.left_bytes(guard.status()) for guard in guards)
    disk = None if rate is None else Disk(int(left_bytes), rate)
    simulated = simulate(Calendar(table.active, zone, place), since_ns, until_ns)
    return with_forecast(simulated, zone, disk, None)


def _changed(where: Where, as_json: bool, verb: str, **arguments: Any) -> None:
    """A verb that answers with the task's row."""
    from fieldrec.cli.tables import print_json
    from fieldrec.status.control_socket import ROW

    told = with_daemon(where, lambda link: link.call(verb, **arguments))
    if as_json:
        print_json(told)
        return
    row = ROW.validate_python(told)
    zone = ZoneInfo(where.load().system.timezone)
    echo(f"{row.name}: {row.does}; next: {_next(row, zone, _now_ns())}")


def _told(cameras: tuple[str, ...], recording_name: str | None, meta: tuple[str, ...],
          values: tuple[str, ...], **options: Any) -> dict[str, Any]:
    """The keys of the configuration; what was not given is left out."""
    from fieldrec.camera.parameter_values import parse_values

    told = {key: value for key, value in options.items()
            if value is not None and (value is not False or key == "value")}
    if recording_name is not None:
        told["name"] = recording_name
    if meta:
        told["metadata"] = parse_metadata(meta)
    if values:
        told["values"] = parse_values(values)
    if cameras and told["do"] in ("configure", "output"):
        if len(cameras) > 1:
            raise UsageError(f"--camera: name one for --do {told['do']}, or none for all")
        told["camera"] = cameras[0]
    elif cameras:
        told["cameras"] = list(cameras)
    return told


# --- showing --------------------------------------------------------------------------------------


def _next(row: Row, zone: ZoneInfo, now_ns: int) -> str:
    from fieldrec.schedule.rows import local
    from fieldrec.status import words

    if row.running_until_ns is not None:
        return f"runs until {local(row.running_until_ns, zone, now_ns)}"
    if row.next_ns is None or row.note:
        return row.note
    ends = "" if row.next_ends_ns is None else \
        f" to {local(row.next_ends_ns, zone, row.next_ns)}"
    return (f"{local(row.next_ns, zone, now_ns)}{ends}, in "
            f"{words.duration((row.next_ns - now_ns) / 1e9)}")


def _print_simulated(simulated: Simulated, zone: ZoneInfo) -> None:
    from fieldrec.cli.tables import print_table
    from fieldrec.schedule.rows import local

    at: Callable[[int], str] = lambda time_ns: local(time_ns, zone)  # noqa: E731
    if simulated.happenings:
        print_table(f"{at(simulated.since_ns)} to {at(simulated.until_ns)}, {zone.key}",
                    ("local time", "task", "what"),
                    [(f"{_weekday(one.at_ns, zone)} {at(one.at_ns)}", one.task, one.text)
                     for one in simulated.happenings])
    else:
        echo(f"nothing happens from {at(simulated.since_ns)} to {at(simulated.until_ns)}")
    for remark in (*simulated.remarks, *simulated.forecast):
        echo(remark)


def _weekday(epoch_ns: int, zone: ZoneInfo) -> str:
    from fieldrec.schedule.calendar import moment

    return f"{moment(epoch_ns).astimezone(zone):%a}"


def _local(text: str, zone: ZoneInfo, option: str) -> int:
    """A local time as epoch nanoseconds; UsageError."""
    from fieldrec.schedule.calendar import nanoseconds

    for form in _TIMES:
        try:
            return nanoseconds(datetime.strptime(text.strip(), form).replace(tzinfo=zone))
        except (ValueError, OverflowError):
            continue
    raise UsageError(f'{option} {text!r}: expected a local time such as 2026-11-21 or '
                     '"2026-11-21 20:00"')


def _now_ns() -> int:
    from fieldrec.core.clock import SystemClock

    return SystemClock().epoch_ns()
