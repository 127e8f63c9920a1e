"""The table of every name of diffusers' Kandinsky, and what it is here."""
