"""Reads the files that ai-forever itself published, by rules for their names and configs."""
