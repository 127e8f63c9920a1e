"""ai-forever's own files: their names, configs and parts."""
