"""The page at /ui: serves the built files of `ui/`, with headers that let no other script run.

Every path of the page answers with one HTML file, whose scripts choose what to show by the address. Its links
to them are relative, so that it works behind any prefix.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from mimetypes import guess_type
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from perdure.web.failures import HttpError

__all__ = ["FOLDER", "PUBLIC", "PUBLIC_BELOW", "Page", "installed_page", "wants_page"]

FOLDER: Final = Path(__file__).parent.parent / "page"
"""Where the build puts the files; it doesn't exist in a checkout that hasn't been built."""

PUBLIC: Final = frozenset({"/ui"})
"""Paths that need no token: the files are the same for everybody, and their requests need one."""

PUBLIC_BELOW: Final = ("/ui/",)
"""Prefixes of paths that need no token."""

_INDEX: Final = "index.html"
_FIXED_NAMES: Final = frozenset({_INDEX, "worker.js"})  # other names change with what is in the file
_SUFFIXES: Final = frozenset({".html", ".js", ".css", ".svg", ".png"})
_FOR_GOOD: Final = "public, max-age=31536000, immutable"

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class _File:
    """A built file, which is compressed when that is first asked for."""

    data: bytes
    media_type: str
    cache_control: str

    @classmethod
    def of(cls, name: str, data: bytes) -> "_File":
        media_type = "text/javascript" if name.endswith(".js") else guess_type(name)[0]
        return cls(
            data,
            media_type or "application/octet-stream",
            "no-cache" if name in _FIXED_NAMES else _FOR_GOOD,
        )

    @cached_property
    def compressed(self) -> bytes:
        """The file as gzip."""
        return gzip.compress(self.data, mtime=0)

    @cached_property
    def etag(self) -> str:
        """Differs when the file does."""
        return f'"{hashlib.sha256(self.data).hexdigest()[:32]}"'

    def answer(self, request: Request) -> Response:
        """Return the file, or a 304 to a browser that has it."""
        headers = {
            **_HEADERS,
            "Cache-Control": self.cache_control,
            "ETag": self.etag,
            "Vary": "Accept-Encoding",
        }
        if self.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        data = self.data
        if "gzip" in request.headers.get("accept-encoding", ""):
            data = self.compressed
            headers["Content-Encoding"] = "gzip"
        return Response(data, headers=headers, media_type=self.media_type)


class Page:
    """The routes of the page.

    Parameters
    ----------
    files
        Name → what is in the file; `index.html` is one of them.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._index = files[_INDEX]
        self._files = {name: _File.of(name, data) for name, data in files.items() if name != _INDEX}

    def router(self) -> APIRouter:
        """Return the routes."""
        made = APIRouter(tags=["service"], include_in_schema=False)
        made.add_api_route("/ui", self.lead)
        made.add_api_route("/ui/{path:path}", self.show)
        return made

    async def lead(self) -> Response:
        """Redirect to the folder, which all links of the page are relative to."""
        return RedirectResponse("ui/", 308)

    async def show(self, request: Request, path: str) -> Response:
        """Answer with a file; at a path that names none, with the page itself."""
        name = path.rpartition("/")[2]
        if "." not in name:
            to_folder = b"../" * path.count("/") or b"./"
            return _File.of(_INDEX, self._index.replace(b'"./', b'"' + to_folder)).answer(request)
        if path not in self._files:
            raise HttpError(404, "route_not_found", f"There is nothing at {request.scope['path'][:200]!r}.")
        return self._files[path].answer(request)


@cache
def installed_page(folder: Path = FOLDER) -> Page | None:
    """Return the page, or None if it hasn't been built."""
    if not (folder / _INDEX).is_file():
        return None
    return Page({file.name: file.read_bytes() for file in folder.iterdir() if file.suffix in _SUFFIXES})


def wants_page(request: Request) -> bool:
    """Return whether a request accepts HTML by name, as those of browsers do."""
    return "text/html" in request.headers.get("accept", "")
