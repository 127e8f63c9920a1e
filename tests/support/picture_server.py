"""Serves pictures on the loopback interface, in place of those that public documents link."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["PictureServer"]


class PictureServer:
    """Answers any path that ends with a known file name by that picture.

    Args:
        pictures: The pictures by their file names.
    """

    def __init__(self, pictures: Mapping[str, Image.Image]) -> None:
        handler = type("Handler", (_Handler,), {"pictures": pictures})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """The address, to which a path is added."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    pictures: Mapping[str, Image.Image]

    def do_GET(self) -> None:
        picture = self.pictures.get(self.path.rsplit("/", 1)[-1])
        if picture is None:
            self.send_error(404)
            return
        body = io.BytesIO()
        picture.save(body, "PNG")
        self.send_response(200)
        self.send_header("Content-Length", str(body.tell()))
        self.end_headers()
        self.wfile.write(body.getvalue())

    def log_message(self, *_: object) -> None:
        """Keep quiet."""
