"""Files in and out, as requests of their own beside trame's socket."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from aiohttp import web

from SAMSpineLib.app.application import Application
from SAMSpineLib.app.saving import FORMATS, file_name
from SAMSpineLib.errors import SAMSpineError

_CHUNK = 2**20


def add_routes(router: web.UrlDispatcher, app: Application) -> None:
    """Add what the page's script asks for."""
    uploads = app.uploads

    async def begin(_request: web.Request) -> web.Response:
        return web.Response(text=uploads.begin())

    async def receive(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        try:
            await uploads.receive(name, request.query.get("name", ""), request.content.iter_chunked(_CHUNK))
        except SAMSpineError as error:
            uploads.drop(name)
            # aiohttp goes on reading for a while, so that a browser that is still sending sees the answer.
            return web.Response(status=400, text=str(error))
        return web.Response(text="")

    async def save(request: web.Request) -> web.StreamResponse:
        try:
            return await _saved(app, request.match_info["format"])
        except SAMSpineError as error:
            return web.Response(status=400, text=str(error))

    async def launcher(request: web.Request) -> web.Response:
        # The page first asks for somebody who starts a process for it; here it is told where that is: here.
        return web.json_response({"sessionURL": f"ws://{request.host}/ws", "secret": "wslink-secret"})

    router.add_post("/paraview/", launcher)
    router.add_post("/upload", begin)
    router.add_put("/upload/{name}", receive)
    router.add_get("/save/{format}", save)


async def _saved(app: Application, name: str) -> web.Response:
    """Write a file into a folder that is gone afterwards and return it.

    Raises:
        SAMSpineError: if there is nothing to write, or it cannot be written.
    """
    contents = app.contents()
    download = file_name(contents.bench, name)
    with tempfile.TemporaryDirectory(prefix="samspine-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / download
        await FORMATS[name][2](contents, path)
        body = await asyncio.to_thread(path.read_bytes)
    headers = {"Content-Disposition": f'attachment; filename="{download}"'}
    return web.Response(body=body, content_type="application/octet-stream", headers=headers)
