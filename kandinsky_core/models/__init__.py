"""The embedded model, and names that scripts written for `diffusers.models` import."""
