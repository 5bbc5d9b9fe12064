"""Packed training: many cells over one frozen base, each as if it were alone."""
