"""The HTTP side: routes, event streams, access, and the page."""
