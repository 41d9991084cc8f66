"""Lines of mountinfo, as the kernel writes them; the last one is none."""

from __future__ import annotations

TEXT = r"""
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
42 27 7:0 / /media/my\040disk rw,nosuid,nodev shared:1 master:2 - fuseblk /dev/sdb1 rw,user_id=0
43 27 8:17 / /mnt/a ro,nosuid - ext4 /dev/sdb1 rw
44 27 8:18 / /mnt/b rw - ext4 /dev/sdb2 rw,emergency_ro
45 27 0:40 / /mnt/c rw - btrfs /dev/sdc1 ro
nonsense
"""
