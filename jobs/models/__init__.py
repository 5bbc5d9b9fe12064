"""Pretrained models: families, loading, quantising, and the tiny members of the demo."""
