"""Fair tuning: every arm tries the same number of settings on validation rows, and its cells get the best of them.

config -> declaring (what is searched) -> arms (defaults, ranges) -> rounds (ask, candidates, tell) -> choice
^ outcomes, out of the store
"""
