"""What MindSpore's compiler tells of the networks' programs for Ascend, without an NPU."""
