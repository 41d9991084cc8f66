"""Floor 4: recording. Camera -> ring -> store; one recorder per camera, one session for all."""

from fieldrec.record.recorder import Recorder
from fieldrec.record.session import Session
from fieldrec.record.storage import StorageGuard

__all__ = ["Recorder", "Session", "StorageGuard"]
