"""From gradients to a trained model: the step, the optimizer, the checkpoint."""
