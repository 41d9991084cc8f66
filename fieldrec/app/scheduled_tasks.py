"""What the schedule's tasks do that do not record: by the verbs of the control. On the event
loop."""

from __future__ import annotations

from collections.abc import Iterable

from fieldrec.camera.parameters import Parameter, Value
from fieldrec.control import Control
from fieldrec.core.errors import StateError
from fieldrec.record.session import ALL
from fieldrec.schedule.table import in_words
from fieldrec.schedule.tasks import Task
from fieldrec.status import words

SELECTOR, OUTPUT = "UserOutputSelector", "UserOutputValue"
"""GenICam's way to switch an output that LineSource connects to a line."""
DRIVE = "drive:"


async def perform(task: Task, control: Control) -> str:
    """Do it; what came of it, in words. FieldrecError."""
    told = task.arguments
    camera = told.get("camera") or ALL
    match task.what:
        case "copy_all":
            offload = control.move if told.get("delete_after") else control.copy
            jobs = await offload(None, _destination(told["destination"]))
            return f"{in_words(task)}: {words.plural(len(jobs), 'job')}"
        case "export_all":
            jobs = await control.export(None, told.get("preset"),
                                        delete_raw=bool(told.get("delete_after")))
            return f"{in_words(task)}: {words.plural(len(jobs), 'job')}"
        case "configure":
            await control.configure(camera, told["values"])
            return in_words(task)
        case "output":
            await _switch(control, camera, told["output"], bool(told["value"]))
            return in_words(task)
    raise StateError(f"task {task.name}: `do: {task.what}` is not for this")


async def _switch(control: Control, camera: str, output: str, on: bool) -> None:
    """Through the camera's parameters: GenICam's user output of that name, or a switch that is
    itself called so. StateError for a camera that has neither."""
    for key, parameters in (await control.configure(camera)).items():
        await control.configure(key, _output_values(key, parameters, output, on))


def _output_values(camera: str, parameters: Iterable[Parameter], output: str, on: bool
                   ) -> dict[str, Value]:
    named = {parameter.name: parameter for parameter in parameters}
    selector = named.get(SELECTOR)
    if selector is not None and OUTPUT in named and output in selector.choices:
        return {SELECTOR: output, OUTPUT: on}
    switch = named.get(output)
    if switch is not None and switch.writable and isinstance(switch.value, bool):
        return {output: on}
    can = [*(selector.choices if selector is not None and OUTPUT in named else ()),
           *(name for name, one in named.items()
             if one.writable and isinstance(one.value, bool) and name != OUTPUT)]
    raise StateError(f"camera {camera} has no output {output!r} that can be switched; it has: "
                     f"{', '.join(can) or 'none'} (fieldrec switches outputs of cameras, "
                     f"{SELECTOR} with {OUTPUT}, or a switch of that name; it has no hardware of "
                     "its own)")


def _destination(where: str) -> str:
    """`drive:LABEL` as the control knows drives: by their label."""
    rest = where.removeprefix(DRIVE)
    return rest if rest and where.startswith(DRIVE) else where
