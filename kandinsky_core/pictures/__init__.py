"""Pictures, masks and hints in and out, their metadata, and how they are written."""
