"""Random kills of a real grid until a number of them has hit, then the oracle: `make chaos`."""
