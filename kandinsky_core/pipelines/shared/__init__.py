"""What the pipelines of all families share."""
