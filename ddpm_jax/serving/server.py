"""An app on an address of this machine, until it is asked to stop. uvicorn and Starlette come with Gradio."""

import contextlib
import errno
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.middleware.trustedhost import TrustedHostMiddleware

SECONDS_TO_END = 3
LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "connect-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
    )
).encode()
"""Told to the browser, which then loads nothing from another host, whatever the page asks for."""


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens; port 0 is any free one. Raises OSError in words."""
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        opened = socket.create_server((host, port), family=family)
    except OverflowError as error:
        raise ValueError(f"serve.port is {port}; wanted 0 to 65535") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(
                f"serve.port is {port}, on which another program listens at {host}; set another one, "
                "or 0 for any that is free"
            ) from error
        raise OSError(f"serve.host is {host!r}, serve.port {port}: {error}") from error
    with opened:
        yield opened


def serve(
    app: Any, at: socket.socket, stop: Callable[[], object], say: Callable[[str], None]
) -> None:
    """Answer until `stop()` holds. `say` is told the page's address, once it answers there."""
    host, port = at.getsockname()[:2]
    guarded = only_from_here(app)
    if ipaddress.ip_address(host).is_loopback:
        # Another site's page cannot reach this one by giving its own name this address.
        guarded = TrustedHostMiddleware(guarded, allowed_hosts=list(LOOPBACK))
    settings = uvicorn.Config(
        guarded, log_level="warning", timeout_graceful_shutdown=SECONDS_TO_END
    )
    server = uvicorn.Server(settings)
    # In a thread, because uvicorn takes over the signals in the main one.
    thread = threading.Thread(target=server.run, kwargs={"sockets": [at]}, daemon=True)
    thread.start()
    said = False
    while thread.is_alive() and not stop():
        if server.started and not said:
            say(f"http://{f'[{host}]' if ':' in host else host}:{port}")
            said = True
        time.sleep(0.1)
    if not thread.is_alive():
        raise OSError(f"the server at {host}:{port} has ended by itself")
    server.should_exit = True
    thread.join(2 * SECONDS_TO_END)


def only_from_here(app: Any) -> Any:
    """The app, whose answers carry `POLICY`."""

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        async def with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (b"content-security-policy", POLICY)]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, with_policy)

    return guarded
