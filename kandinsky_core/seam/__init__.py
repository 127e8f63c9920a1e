"""What core and a backend say to each other."""
