"""Fault tests: real kills, full disks, hangs and hostile input against real processes."""
