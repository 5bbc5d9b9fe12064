"""Token attributions: which tokens of a text speak for a label, by a finished cell; see `__main__` for the process."""
