"""config/field.yaml is the reference: it loads, names every key, and shows the real defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from fieldrec.camera.configured import check_cameras
from fieldrec.config import Config, load_document
from fieldrec.config.destinations import FolderConfig, RsyncConfig
from fieldrec.config.loopy import LoopyConfig
from fieldrec.config.models import CameraConfig, ConsoleConfig

FOLDER = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize("name", ["field.yaml", "demo.yaml"])
def test_it_loads_without_hardware(name: str) -> None:
    document, config = load_document(FOLDER / name)
    check_cameras(document, config)


def missing_keys(model: type[BaseModel], values: dict[str, Any], at: str) -> list[str]:
    missing = []
    for name, field in model.model_fields.items():
        if name not in values:
            missing.append(f"{at}{name}")
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            missing += missing_keys(field.annotation, values[name], f"{at}{name}.")
    return missing


def test_field_yaml_names_every_key() -> None:
    values = yaml.safe_load((FOLDER / "field.yaml").read_text())
    assert missing_keys(Config, values, "") == []
    assert missing_keys(CameraConfig, values["cameras"]["top"], "cameras.top.") == []
    for name, model in (("archive", FolderConfig), ("lab", RsyncConfig),
                        ("loopy", LoopyConfig)):
        assert missing_keys(model, values["destinations"][name], f"{name}.") == []
    assert missing_keys(ConsoleConfig, values["console"][0], "console.") == []


def test_field_yaml_shows_the_defaults() -> None:
    _, shown = load_document(FOLDER / "field.yaml")
    default = Config()
    for section in ("system", "store", "export", "drives", "power"):
        assert getattr(shown, section) == getattr(default, section), section
    assert shown.record == default.record.model_copy(update={"metadata": shown.record.metadata})
    assert shown.storage.stop_percent == default.storage.stop_percent
    assert shown.storage.reserve_bytes == default.storage.reserve_bytes
