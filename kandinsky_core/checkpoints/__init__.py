"""From a model's name to its tensors: the hub, weight files of all kinds, LoRA."""
