"""Floor 3: deferred encoding of recordings to verified H.264 files.

:mod:`fieldrec.export.run` is the blocking whole (encode, sync, read back, compare, commit);
:mod:`fieldrec.export.encoder` runs it in a process of its own for the event loop (I9).
"""
