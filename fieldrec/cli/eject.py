"""`fieldrec eject`: asks the running fieldrec; without one, lets go of what a killed one left.

On the command's own event loop. An orderly stop leaves nothing mounted (I7); after a kill the
drives stay as they were, and a person must be able to take them out.
"""

from __future__ import annotations

from typing import Any

import click

from fieldrec.cli.out import echo
from fieldrec.cli.where import Where, where_options


@click.command("eject")
@click.argument("drive", required=False)
@where_options
def eject_command(where: Where, drive: str | None) -> None:
    """Make a drive (label, UUID or device) safe to remove.

    Without a running fieldrec: what one that was killed left mounted.
    """
    from fieldrec.cli.link import find_owner, run

    folders = where.folders()

    async def eject() -> None:
        owner = await find_owner(*folders)
        if owner is not None:
            echo(str(await owner.call("eject", drive=drive)))
        else:
            await let_go(where.load(), drive, str(folders[0]))

    run(eject)


async def let_go(config: Any, which: str | None, folder: str) -> None:
    """Unmount (which writes all out) and switch off what fieldrec has mounted, and say so of each
    drive at once.

    StateError when there is nothing of the kind, DriveBusy when one stays mounted: the others are
    let go of first.
    """
    from fieldrec.cli.drive_look import blocks_there
    from fieldrec.core.errors import DriveBusy, StateError
    from fieldrec.drives import mounts
    from fieldrec.drives.arrival import named
    from fieldrec.drives.choosing import mounter_for
    from fieldrec.drives.mounted import Mounted
    from fieldrec.drives.work import DriveWork

    work, found = DriveWork(), 0
    busy: DriveBusy | None = None
    mounted = Mounted(mounter_for(config.drives, work, lambda _text, _severity: None), work, ())
    blocks = {(block.fs_uuid, block.device): block for block in blocks_there(config)}
    try:
        for key, block in blocks.items():
            if which not in (None, block.device, block.fs_uuid, block.label):
                continue
            left = mounted.adopt(key, block)
            if left is None:
                continue
            found += 1
            try:
                await mounted.release(key, named(block))
                await mounted.release_others(key, block, named(block))
            except DriveBusy as error:
                busy = busy or error
                continue
            if mounts.mounts_on_disk(block.disk):
                echo(f"{named(block)} is unmounted, but not safe to remove: another part of the "
                     "same device is mounted")
                continue
            await mounted.power_off(blocks, block)
            echo(f"SAFE TO REMOVE {named(block)}")
    finally:
        work.close()
    if busy is not None:
        raise busy
    if not found:
        raise StateError(f"no fieldrec runs on {folder}, and none left a drive mounted: nothing to "
                         "eject; start it with `fieldrec run`")
