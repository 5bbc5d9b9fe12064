"""From logits to numbers: metrics, each with direction and range."""
