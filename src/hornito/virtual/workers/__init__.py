# SPDX-License-Identifier: MIT
"""Jobs in a process of their own: its client, its main loop, and what they say to each other."""
