"""Floor 3: the record of a deployment: what mattered, kept for years, and what is made of it.

``book`` writes (JSON lines, append-only, rotated), ``reading`` reads, ``record`` draws recordings,
gaps and figures from the entries, ``text``, ``table`` and ``page`` show them. A logbook lies in the
private folder of the recordings, ``.fieldrec/logbook/DEPLOYMENT/``, and travels to every
destination as ``logbook/BOX/DEPLOYMENT/``.
"""
