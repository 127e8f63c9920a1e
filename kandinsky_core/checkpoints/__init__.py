"""From a model's name to its tensors: the hub, files of all kinds, LoRA."""
