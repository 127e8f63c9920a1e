"""One file for each format: how its cases are made, read, and compared with another reader."""
