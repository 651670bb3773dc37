"""Requests over HTTP in Qt's own event loop: no thread, nothing blocks."""

from collections.abc import Callable
from typing import Any

import qt
import slicer

from SAMSpineLib.engine.service.call import Request

Finished = Callable[["int | None", bytes], None]


class HttpTransport:
    """A `Wire` of the call queue."""

    def __init__(self, engine: Any) -> None:
        """Speak to an engine: an EngineProcess or a RemoteEngine, asked for address and token at each request."""
        self.engine = engine
        self.fed: Callable[[bytes], None] = _ignore
        self._manager = qt.QNetworkAccessManager(slicer.app)  # so that letting go of it does not delete it, in a slot
        self._manager.connect("finished(QNetworkReply*)", self._onFinished)
        self._reply: Any = None
        self._finished: Finished | None = None
        self._inLines = False
        self._breath = qt.QTimer(slicer.app)
        self._breath.setSingleShot(True)
        self._breath.setInterval(0)
        self._breath.connect("timeout()", self._onBreath)
        self._breathed: Callable[[], None] | None = None

    def send(self, request: Request, finished: Finished) -> None:
        """Send a request and report its reply later."""
        self._inLines, self._finished = request.on_line is not None, finished
        self._reply = self._sent(request)
        if self._inLines:
            self._reply.connect("readyRead()", self._onReadyRead)

    def send_beside(self, request: Request) -> None:
        """Send a request without regard to its reply."""
        self._sent(request)

    def breathe(self, finished: Callable[[], None]) -> None:
        """Let Qt see to everything else first."""
        self._breathed = finished
        self._breath.start()

    def abort(self) -> None:
        """Forget the request, or the breath, that is under way."""
        self._breath.stop()
        self._breathed = None
        reply, self._reply, self._finished = self._reply, None, None
        if reply is not None:
            reply.abort()

    def close(self) -> None:
        """Hang up for good."""
        self.abort()
        self._breath.disconnect("timeout()", self._onBreath)
        self._breath.deleteLater()
        self._manager.disconnect("finished(QNetworkReply*)", self._onFinished)
        self._manager.deleteLater()

    def _sent(self, request: Request) -> Any:
        if self.engine.isLocal:
            self._manager.setProxy(qt.QNetworkProxy(qt.QNetworkProxy.NoProxy))
        message = qt.QNetworkRequest(qt.QUrl(self.engine.url + request.path))
        for name, value in request.headers(self.engine.token).items():
            message.setRawHeader(qt.QByteArray(name.encode()), qt.QByteArray(value.encode()))
        verb = qt.QByteArray(request.method.encode())
        return self._manager.sendCustomRequest(message, verb, qt.QByteArray(request.body))

    def _onBreath(self) -> None:
        finished, self._breathed = self._breathed, None
        if finished is not None:
            finished()

    def _onReadyRead(self) -> None:
        if self._reply is not None and self._status(self._reply) is not None and self._status(self._reply) < 400:
            self.fed(bytes(self._reply.readAll().data()))

    def _onFinished(self, reply: Any) -> None:
        reply.deleteLater()
        if self._reply is None or reply != self._reply:
            return
        body, status = bytes(reply.readAll().data()), self._status(reply)
        if reply.error() != qt.QNetworkReply.NoError and (status is None or status < 400):
            status = None  # also a reply that was cut in the middle
        finished, self._reply, self._finished = self._finished, None, None
        if finished is not None:
            finished(status, body)

    def _status(self, reply: Any) -> "int | None":
        value = reply.attribute(qt.QNetworkRequest.HttpStatusCodeAttribute)
        return None if value is None else int(value)


def _ignore(_chunk: bytes) -> None:
    """Take what nobody waits for."""
