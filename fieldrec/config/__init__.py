"""Floor 1: the configuration file. YAML in, validated models out; errors say file, line and key."""

from fieldrec.config.destinations import DestinationConfig
from fieldrec.config.document import Document
from fieldrec.config.drives import DriveRule, DrivesConfig
from fieldrec.config.exporting import ExportConfig
from fieldrec.config.loading import load_config, load_document
from fieldrec.config.models import CameraConfig, Config, ConsoleConfig, StorageConfig, StoreConfig
from fieldrec.config.power import PowerConfig
from fieldrec.config.recording import RecordConfig

__all__ = [
    "CameraConfig",
    "Config",
    "ConsoleConfig",
    "DestinationConfig",
    "Document",
    "DriveRule",
    "DrivesConfig",
    "ExportConfig",
    "PowerConfig",
    "RecordConfig",
    "StorageConfig",
    "StoreConfig",
    "load_config",
    "load_document",
]
