"""Finished cells copied to trackers that people have already: TensorBoard, MLflow, Weights & Biases.

    result folder -> records (what a cell is in any tracker) -> one of tensorboard, mlflow, wandb

A sink is fed from result folders, in the driver, after the index has them. Whatever it does or fails to do never
reaches the grid: its failure is one line for people, and `finegrid sync` feeds it again later. Every sink knows the
cells it has by their id, so that nothing arrives twice.
"""
