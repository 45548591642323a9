"""The HTTP server around the application: one listening socket, told from outside when to stop."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from api.app import create_app
from api.services import Services
from desk.errors import SetupError


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals set `stop`."""
        yield


async def serve(services: Services, listener: socket.socket, stop: asyncio.Event) -> None:
    """HTTP until `stop` is set."""
    config = uvicorn.Config(
        create_app(services),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
        proxy_headers=True,
        server_header=False,
    )
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([running, stopped], return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopped.cancel()
    await running


def listening(port: int) -> socket.socket:
    """The port, taken now so that a clash is reported before anything else starts. Raises SetupError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("0.0.0.0", port))
    except OSError as error:
        listener.close()
        raise SetupError("port_taken", port=port, problem=error.strerror) from None
    listener.set_inheritable(True)
    return listener
