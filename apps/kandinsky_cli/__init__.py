"""The command line program `kandinsky`."""
