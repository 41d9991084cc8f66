"""Floor 8: the composition root. `box.App` is one running fieldrec."""

from fieldrec.app.box import DAEMON, FOLDER_ONLY, ONE_RECORDING, App, Parts

__all__ = ["DAEMON", "FOLDER_ONLY", "ONE_RECORDING", "App", "Parts"]
