"""Pictures, masks and hints: how they are read and written, and the metadata they carry."""
