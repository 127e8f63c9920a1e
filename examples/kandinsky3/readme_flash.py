"""Four steps of Flash, as in the README of ai-forever/Kandinsky-3.

Compared with the README, only the import and device lines differ; an option gives the size.

    python examples/kandinsky3/readme_flash.py --model my/Kandinsky3.1
"""

from __future__ import annotations

import argparse

from kandinsky_core import get_T2I_Flash_pipeline


def main() -> None:
    """Make the picture, write it, and say where it is."""
    parser = argparse.ArgumentParser(
        description="Four steps of Flash, as in the README of ai-forever/Kandinsky-3."
    )
    parser.add_argument("--model", default="ai-forever/Kandinsky3.1", help="folder or hub id")
    parser.add_argument("--backend", help="jax or mindspore (default: the one installed)")
    parser.add_argument("--device", help="gpu:0 for example (default: the backend's own)")
    parser.add_argument("--size", type=int, default=1024, help="height and width in pixels")
    parser.add_argument("--output", default="corgi.png", help="a .png file")
    options = parser.parse_args()
    size, backend = options.size, options.backend

    device_map = options.device
    dtype_map = {
        "unet": "float32",
        "text_encoder": "float16",
        "movq": "float32",
    }

    t2i_pipe = get_T2I_Flash_pipeline(device_map, dtype_map, model=options.model, backend=backend)

    res = t2i_pipe("A cute corgi lives in a house made out of sushi.", width=size, height=size)
    image = res[0]

    image.save(options.output)
    print(options.output)  # noqa: T201


if __name__ == "__main__":
    main()
