"""Serves the API in a thread of this process."""

from __future__ import annotations

import socket
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

from schemas.errors import ConfigError


def bind(host: str, port: int, field: str) -> socket.socket:
    """A socket that listens once it is served. port: 0 takes a free one; field: what named it.

    Raises ConfigError when the address is taken or not ours.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"{host}:{port} cannot be used: {error.strerror}", field=field, mend="Name another port."
        ) from error
    bound.set_inheritable(False)
    return bound


class HttpServer:
    """Bound when made, so that a taken port is said before anything is served. `run` blocks until `stop`."""

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        bound: socket.socket | None = None,
        lifespan: Literal["on", "off"] = "off",
    ) -> None:
        """bound: used in place of host and port.  lifespan: on, where `app` must be started and ended.

        Raises ConfigError when the address is taken or not ours.
        """
        self._socket = bind(host, port, "--http-port") if bound is None else bound
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan=lifespan, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    def run(self) -> None:
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        self._server.should_exit = True
