"""Scripts of four kinds of users, which run on diffusers and on this library alike."""
