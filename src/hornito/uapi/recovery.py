# SPDX-License-Identifier: MIT
"""When does the kernel take a job for hung, and what does it do then?

Source: databook, drm-uapi.md ("Hangs"); Linux: what the etnaviv driver does with a timed-out job and an MMU fault, and
which jobs the DRM scheduler then resubmits.
"""

TIMEOUT = 0.5  # seconds after which the scheduler looks at the job that runs, again and again
STANDSTILL = 16  # bytes: a front end that moved forward by no more than this stands (it may be in a WAIT/LINK loop)
RING_JOBS = 4  # submissions handed to the core at a time; those of a killed job's client that are among them die too

# The MMU's exception codes, and the kernel's words for them.
TABLE_MISSING, PAGE_MISSING, WRITE_VIOLATION, OUT_OF_BOUNDS = 1, 2, 3, 4
FAULT_REASONS = {
    TABLE_MISSING: "slave not present",
    PAGE_MISSING: "page not present",
    WRITE_VIOLATION: "write violation",
    OUT_OF_BOUNDS: "out of bounds",
    5: "read security violation",
    6: "write security violation",
}

# The kernel's own part of every address space.
COMMAND_ADDRESS = 0x1000  # of the command memory; its first page is the ring
