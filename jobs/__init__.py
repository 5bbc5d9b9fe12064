"""What runs inside a trial: data, models, training, evaluation. No ray, no SQL."""
