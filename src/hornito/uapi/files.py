# SPDX-License-Identifier: MIT
"""What do file calls take that Python has no names for? Flags of fallocate(2), events of inotify(7).

Source: the Linux UAPI headers falloc.h and inotify.h.
"""

FALLOC_FL_KEEP_SIZE = 0x01
FALLOC_FL_PUNCH_HOLE = 0x02  # with KEEP_SIZE: give the pages back, and read zeros
IN_CLOSE = 0x08 | 0x10  # a description has ended that was open for writing, or for reading
