"""The pipelines of Kandinsky 2.1, whose decoders read the prompt beside image embeddings."""
