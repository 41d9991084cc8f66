"""Floor 2: removable drives.

``udev`` sees them come and go, ``mount`` makes their file systems usable, ``table`` says who may
use which (leases), ``watcher`` is the task that ties the three together. ``labels`` cleans what
strangers wrote on a drive.
"""
