"""The commands, one file for each: its options, and the code that runs it."""
