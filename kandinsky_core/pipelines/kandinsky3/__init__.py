"""The pipelines of Kandinsky 3.0 and 3.1, which have no prior."""
