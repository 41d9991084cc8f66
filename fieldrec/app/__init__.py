"""Floor 8: the composition root. `box.App` is one running fieldrec."""

from fieldrec.app.box import App
from fieldrec.app.parts import DAEMON, FOLDER_ONLY, ONE_RECORDING, Parts

__all__ = ["DAEMON", "FOLDER_ONLY", "ONE_RECORDING", "App", "Parts"]
