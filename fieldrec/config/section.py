"""What every section of the configuration is made of: sizes, names, and blaming a key below one.

Pure; used while a file is loaded. Unknown keys are errors: a misspelt `durabilty_s` must not
silently mean the default.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

_SIZE = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*(?:([kKMGT])(i?))?[bB]?\s*$")
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}
SAFE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
"""What may become part of a file name on any file system a drive may carry."""

SECRET_KEY = re.compile(r"pass(word|phrase)|secret|token|credential|api_?key", re.I)
"""Keys whose values are not shown, whatever is wrong with them."""


def parse_size(value: object) -> object:
    """Bytes from 1048576, "20 GB" (10^9) or "512 MiB" (2^20); anything else is left to pydantic."""
    if isinstance(value, bool):  # YAML's yes and no, which pydantic takes for 1 and 0
        raise ValueError("expected a size, not yes or no")
    if isinstance(value, str):
        match = _SIZE.match(value)
        if match is None:
            raise ValueError("expected a size such as 500 MB, 1.5 GiB or a number of bytes")
        number, unit, binary = match.groups()
        return int(float(number) * (1024 if binary else 1000) ** _POWERS[unit or ""])
    return value


def check_safe_name(value: str) -> str:
    """`value`, or ValueError saying what a name may consist of."""
    if not SAFE_NAME.match(value):
        raise ValueError("use letters, digits, '.', '_' and '-' only (at most 100 characters)")
    return value


SafeName = Annotated[str, AfterValidator(check_safe_name)]
Bytes = Annotated[int, BeforeValidator(parse_size), Field(ge=0)]


def located(path: tuple[str | int, ...], message: str) -> PydanticCustomError:
    """An error about a key below the one that is being validated; :class:`Document` finds its
    line."""
    return PydanticCustomError("located", "{message}", {"path": path, "message": message})


class Section(BaseModel):
    """A mapping in the file: unknown keys forbidden, values frozen after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)
