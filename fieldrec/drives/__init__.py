"""Floor 2: removable drives.

``udev`` sees them come and go, ``arrival`` makes them fit for use, ``mounted`` knows what is
mounted by whom and ``mount`` mounts (a ``mounter``), ``table`` says who may use which (leases),
``watcher`` is the task that ties them together. ``labels`` cleans what strangers wrote on a drive.
"""
