"""The pipelines of Kandinsky 2.2: a prior, decoders, and both behind one call."""
