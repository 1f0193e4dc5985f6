"""Serves the API in a thread of this process."""

from __future__ import annotations

import socket

import uvicorn
from starlette.types import ASGIApp

from schemas.errors import ConfigError


class HttpServer:
    """Bound when made, so that a taken port is said before anything is served. `run` blocks until `stop`."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        """port: 0 takes a free one. Raises ConfigError when the address is taken or not ours."""
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise ConfigError(
                f"{host}:{port} cannot be used: {error.strerror}", field="--http-port", mend="Name another port."
            ) from error
        self._socket.set_inheritable(False)
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    def run(self) -> None:
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        self._server.should_exit = True
