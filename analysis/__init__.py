"""From a store to answers: load, aggregate, draw. No torch, no ray, read-only."""
