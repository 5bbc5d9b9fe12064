"""Gauges: what a step, an evaluation and memory of a model cost on this machine, measured in seconds for a plan."""
