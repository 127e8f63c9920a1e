"""The pipelines, named as diffusers names them."""
