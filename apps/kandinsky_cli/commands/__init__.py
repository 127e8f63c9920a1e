"""The commands, one file each: options, and what the command does."""
