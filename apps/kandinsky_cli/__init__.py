"""The command line `kandinsky`."""
