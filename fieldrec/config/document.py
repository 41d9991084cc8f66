"""A YAML file with the line of every key, so that an error can say where it is.

Blocking (reads a small file); called at start and by `fieldrec config check`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, Tag, ValidationError

from fieldrec.config.section import SECRET_KEY
from fieldrec.core.errors import ConfigError

M = TypeVar("M", bound=BaseModel)
KeyPath = tuple[str | int, ...]
MOST_KEYS = 20_000
"""A file with more was not written by hand: aliases of aliases grow without bound."""


class Document:
    """The parsed file: plain values and, for each key path, its line (from 1)."""

    def __init__(self, source: str, text: str) -> None:
        self.source = source
        self.lines: dict[KeyPath, int] = {}
        try:
            loader = yaml.SafeLoader(text)
            try:
                node = loader.get_single_node()
                if node is not None:  # before construction, which mixes merged keys ("<<") in
                    self._note_lines(node, ())
                self.values: Any = {} if node is None else loader.construct_document(node)
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark is not None else 1
            raise ConfigError(f"{source}:{line}: not valid YAML: {error.problem}") from error
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise ConfigError(f"{source}:{line}: not valid YAML: {error.reason}") from error
        except ValueError as error:  # an impossible date, such as 2026-13-45
            raise ConfigError(f"{source}: a value cannot be read: {error}; put it in quotes"
                              ) from error
        except RecursionError as error:
            raise ConfigError(f"{source}: nested too deeply") from error
        if not isinstance(self.values, dict):
            raise ConfigError(f"{source}:1: expected sections such as 'cameras:' and 'storage:', "
                              f"not a {type(self.values).__name__}")

    @classmethod
    def read(cls, path: Path) -> Document:
        """Parse `path`; ConfigError when it is missing, unreadable or not YAML."""
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{path}: cannot read the configuration: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: not a text file in UTF-8") from error
        return cls(str(path), text)

    def validate(self, model: type[M], at: KeyPath = ()) -> M:
        """Build `model` from the values under `at`; ConfigError naming file, line and key."""
        values: Any = self.values
        for key in at:
            values = values.get(key) if isinstance(values, dict) else values[key]
            if values is None:
                break
        try:
            return model.model_validate({} if values is None else values)
        except ValidationError as error:
            raise ConfigError("\n".join(self._explain(model, at, error))) from error

    def validate_layered(self, model: type[M], values: Mapping[str, Any], at: KeyPath,
                         over: Document, places: Mapping[str, KeyPath]) -> M:
        """Build `model` from `values`, which stand under `at` here but for those that `places`
        finds in the document `over` this one; ConfigError naming file, line and key in either."""
        try:
            return model.model_validate(dict(values))
        except ValidationError as error:
            lines = []
            for problem in error.errors(include_url=False):
                loc = problem["loc"]
                place = places.get(dotted(loc[:2])) or places.get(dotted(loc[:1]))
                document, path = (self, (*at, *loc)) if place is None else (over, place)
                lines.append(f"{document.source}:{document.line_of(path)}: {dotted(path)}: "
                             f"{_reason(model, problem)}")
            raise ConfigError("\n".join(lines)) from error

    def line_of(self, path: KeyPath) -> int:
        """Line of a key, or of the nearest parent that is in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def error(self, path: KeyPath, message: str) -> ConfigError:
        """An error about a key, for checks that pydantic cannot do."""
        return ConfigError(f"{self.source}:{self.line_of(path)}: {dotted(path)}: {message}")

    def _note_lines(self, node: yaml.Node, path: KeyPath) -> None:
        if len(self.lines) > MOST_KEYS:
            raise ConfigError(f"{self.source}:{node.start_mark.line + 1}: too many keys; "
                              "do its anchors ('&', '*') refer to each other?")
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key_node, value_node in node.value:
                key = str(key_node.value)
                if key in seen:
                    raise ConfigError(f"{self.source}:{key_node.start_mark.line + 1}: "
                                      f"{dotted((*path, key))}: the key is there twice")
                seen.add(key)
                self.lines[(*path, key)] = key_node.start_mark.line + 1
                self._note_lines(value_node, (*path, key))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._note_lines(item, (*path, index))

    def _explain(self, model: type[BaseModel], at: KeyPath, error: ValidationError
                 ) -> Iterable[str]:
        for problem in error.errors(include_url=False):
            within: KeyPath = problem.get("ctx", {}).get("path", ())
            path: KeyPath = (*at, *_followed(model, problem["loc"])[0], *within)
            where = f"{self.source}:{self.line_of(path)}"
            yield f"{where}: {dotted(path)}: {_reason(model, problem)}"


def explain(model: type[BaseModel], error: ValidationError) -> list[str]:
    """One line per problem (key and reason), for values that came from no file."""
    return [f"{dotted(_followed(model, problem['loc'])[0])}: {_reason(model, problem)}"
            for problem in error.errors(include_url=False)]


def dotted(path: KeyPath) -> str:
    """`("cameras", "left", "options")` as `cameras.left.options`; the whole file as `file`."""
    return ".".join(str(part) for part in path) or "file"


_KEYS = "expected keys and values, `key: value` on lines below it, indented"
_PLAIN = {"bool_parsing": "expected true or false", "bool_type": "expected true or false",
          "tuple_type": "expected a list, such as [a, b]", "path_type": "expected a path",
          "dict_type": _KEYS, "model_type": _KEYS, "model_attributes_type": _KEYS}
"""In place of pydantic's words, which are for programmers."""


def _reason(model: type[BaseModel], problem: Mapping[str, Any]) -> str:
    location = problem["loc"]
    if problem["type"] == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.6)
        hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(sorted(known))}"
        return f"unknown key; {hint}"
    if problem["type"] == "missing":
        return "this key is required"
    message = _PLAIN.get(problem["type"]) or str(problem["msg"]).removeprefix("Value error, ")
    if message == _KEYS and (keys := _known_keys(model, location)):
        message += f": {', '.join(keys)}"
    given = problem.get("input")
    if problem["type"] in ("model_type", "dict_type") and given is None:
        return "nothing in it; write its keys below it, indented, or leave it out"
    if (isinstance(given, str | int | float | bool) or given is None) \
            and not _is_secret(location, given):
        shown = repr(given)
        message += f" (got {shown if len(shown) <= 60 else shown[:59] + '…'})"
    if problem["type"] == "string_type" and isinstance(given, int | float):
        message += "; put it in quotes"
    return message[0].lower() + message[1:] if message.startswith(("Input", "Keys")) else message


def _is_secret(location: KeyPath, given: object) -> bool:
    """Whether a value must not be shown: a key or password, also one in an address."""
    return (bool(location) and SECRET_KEY.search(str(location[-1])) is not None) \
        or (isinstance(given, str) and "//" in given and "@" in given)


def _known_keys(model: type[BaseModel], location: KeyPath) -> list[str]:
    """Names of the fields of the (nested) model that `location` leads to."""
    return list(getattr(_followed(model, location)[1], "model_fields", {}))


def _followed(model: type[BaseModel], location: KeyPath) -> tuple[KeyPath, Any]:
    """(the keys in the file, the model or type they lead to) of a place as pydantic names it, in
    which the tag of a class that was chosen by its `type` is a part too."""
    current: Any = model
    keys: list[str | int] = []
    for part in location:
        chosen = _by_tag(current).get(part)
        if chosen is not None:
            current = chosen
            continue
        keys.append(part)
        field = getattr(current, "model_fields", {}).get(part)
        current = field.annotation if field is not None else _item_type(current)
        if (not hasattr(current, "model_fields") and hasattr(current, "__args__")
                and not _by_tag(current)):
            current = current if _is_container(current) else current.__args__[0]
    return tuple(keys), current


def _by_tag(annotation: Any) -> dict[str | int, Any]:
    """The classes of a union that is told by tags; empty for any other type."""
    members = get_args(annotation.__origin__) if get_origin(annotation) is Annotated else ()
    return {mark.tag: get_args(member)[0] for member in members if get_origin(member) is Annotated
            for mark in member.__metadata__ if isinstance(mark, Tag)}


def _is_container(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) in (dict, tuple, list)


def _item_type(annotation: Any) -> Any:
    """Type of the items of dict[str, X] or tuple[X, ...]; the annotation itself otherwise."""
    arguments: tuple[Any, ...] = getattr(annotation, "__args__", ())
    if getattr(annotation, "__origin__", None) is dict:
        return arguments[1]
    return arguments[0] if arguments else annotation
