"""Clusters: their files, and proofs on machines that are made up inside this one."""
