# SPDX-License-Identifier: MIT
"""What can a process ask for itself? The numbers of prctl(2) that are used here.

Source: the Linux UAPI header prctl.h.
"""

PR_SET_PDEATHSIG = 1  # a signal when the thread that is its parent ends
PR_SET_CHILD_SUBREAPER = 36  # orphans among its descendants become its children
PR_SET_NO_NEW_PRIVS = 38  # no exec gives it rights; an ordinary user's filters need it
