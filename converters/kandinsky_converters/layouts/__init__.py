"""Names and axes of a backend's weights, and the accounting of every tensor."""
