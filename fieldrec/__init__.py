"""fieldrec: an open recorder for video in the field.

Raw frames first, into imgstore directory stores; export, copy and move later, verified.
Start reading at ``DESIGN.md`` beside this file.
"""

__version__ = "0.1.0"
__released__ = "2026-11-01"
"""First day of the month in which this version was made: a clock that shows less is wrong."""
