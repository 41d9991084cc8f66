"""`fieldrec destinations`: which of them can be used now, and why not; and whom to trust."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from fieldrec.cli.look import json_option
from fieldrec.cli.out import echo
from fieldrec.cli.where import Where, where_options
from fieldrec.core.errors import (
    ConfigError,
    DestinationAway,
    FieldrecError,
    NotFoundError,
    UsageError,
)

if TYPE_CHECKING:
    from fieldrec.app.destination_health import Health
    from fieldrec.config import Config
    from fieldrec.core.model import Drive, Job

COLUMNS = ("destination", "kind", "where", "reachable", "writable", "free#", "last used", "why not")


@click.group("destinations", invoke_without_command=True)
@where_options
@json_option
@click.pass_context
def destinations_command(context: click.Context, where: Where, as_json: bool) -> None:
    """Look at every destination and drive now: reachable, writable, free, last used, why not.

    Works beside a daemon and without one. Each is looked at for 10 s at most, all side by side,
    and nothing is written. The exit code is 44 when a configured one cannot be used.
    """
    context.obj = where
    if context.invoked_subcommand is not None:
        return
    from fieldrec.app.destination_health import look_at_all
    from fieldrec.cli.link import run
    from fieldrec.cli.tables import print_json, print_table

    config = where.load()

    async def look() -> list[Health]:
        drives, jobs = await _known(config)
        return await look_at_all(config, drives, jobs)

    found = run(look)
    if as_json:
        print_json([dataclasses.asdict(one) for one in found])
    elif found:
        print_table("", COLUMNS, [_row(one, config.system.timezone) for one in found])
    else:
        echo("no destination is configured and no drive is there")
    away = [one.name for one in found if one.why and one.kind != "drive"]
    if away:
        raise DestinationAway(f"cannot be used now: {', '.join(away)}")


@destinations_command.command("trust")
@click.argument("name")
@click.option("--fingerprint", help="Trust this one without a question (SHA256:…).")
@where_options
@click.pass_context
def trust_command(context: click.Context, where: Where, name: str, fingerprint: str | None
                  ) -> None:
    """Show the fingerprint of an rsync destination's host, and store its key when you say so.

    Compare it with what the host itself says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
    One key is stored, the one that was compared: whoever sits in between could show that one, and
    another of his own beside it.
    """
    from fieldrec.config.destinations import RsyncConfig
    from fieldrec.destinations._ssh import shown_keys, trust, trusted_keys

    config = _nearest(context, where).load().destinations.get(name)
    if config is None:
        raise NotFoundError(f"no destination {name!r} is configured")
    if not isinstance(config, RsyncConfig):
        raise UsageError(f"{name} is of type {config.type}; only hosts of type rsync have a key")
    keys = shown_keys(name, config)
    key = next((key for key in keys if fingerprint in (None, key.fingerprint)), None)
    if key is None:
        raise UsageError(f"{name} shows no key with the fingerprint {fingerprint}; nothing was "
                         "stored")
    before = trusted_keys(config, keys)
    echo(f"{config.parsed.host} {key.kind} {key.fingerprint}{' (trusted)' * (key in before)}")
    if before and not set(before) & set(keys):
        echo("this host was trusted with another key: set up anew, or somebody in between")
    if fingerprint is None:
        echo(f"there, this shows it: ssh-keygen -lf /etc/ssh/ssh_host_{key.short_kind}_key.pub")
        if not click.confirm("Is that the fingerprint which the host itself shows?"):
            raise UsageError("nothing was stored")
    try:
        trust(config, key)
    except OSError as error:
        raise ConfigError(f"{config.known_hosts}: cannot be written: {error.strerror}") from error
    echo(f"stored in {config.known_hosts}; jobs that wait for {name} are tried again within 10 min")


def _nearest(context: click.Context, where: Where) -> Where:
    """What was said behind `trust`, else what was said before it."""
    said = click.core.ParameterSource.COMMANDLINE
    behind = any(context.get_parameter_source(option) is said
                 for option in ("config_file", "recordings"))
    return where if behind or not isinstance(context.obj, Where) else context.obj


async def _known(config: Config) -> tuple[tuple[Drive, ...], tuple[Job, ...]]:
    """Drives and jobs, by the daemon; without one the jobs that are remembered."""
    from fieldrec.cli.link import find_owner
    from fieldrec.status.board import snapshot_from_dict

    try:
        owner = await find_owner(config.storage.directory, *config.storage.directories)
        if owner is not None:
            snapshot = snapshot_from_dict(await owner.call("snapshot"))
            return snapshot.drives, snapshot.jobs
    except FieldrecError:
        return (), ()  # somebody else's: destinations are looked at all the same
    return (), _remembered(config)


def _remembered(config: Config) -> tuple[Job, ...]:
    from fieldrec.core.folder import PRIVATE_NAME
    from fieldrec.jobs.job_rows import JobRows

    path = config.storage.directory / PRIVATE_NAME / "jobs.sqlite"
    if not path.exists():
        return ()
    rows = JobRows(path)
    try:
        return tuple(rows.load()[0])
    finally:
        rows.close()


def _row(one: Health, zone: str) -> list[str]:
    from fieldrec.cli.local_time import local_time
    from fieldrec.record.storage import size_text

    yes = {True: "yes", False: "no", None: "?"}
    return [one.name, one.kind, one.where, yes[one.reachable],
            yes[one.writable] if one.reachable else "",
            ("?" if one.free_bytes is None else size_text(one.free_bytes)) if one.reachable else "",
            "" if one.last_used_ns is None else local_time(one.last_used_ns, zone, 0), one.why]
