"""A local stand-in for Planet's basemaps API that serves a synthetic landscape, as a process of its own.

``python -m segmentation.demo.planet.server --cache DIR`` prints ``ready URL`` when it listens, and ends when its
standard input closes or on SIGTERM: it never outlives the process that started it.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from pathlib import Path

from segmentation.core import cli
from segmentation.core.arguments import WholeNumber, a_folder
from segmentation.core.process import leftovers
from segmentation.demo.planet.api import Api
from segmentation.demo.planet.descriptions import PREFIX, Links
from segmentation.demo.planet.exchange import LOOPBACK, serve
from segmentation.demo.planet.faults import Answer, Faults, disturb
from segmentation.demo.planet.quads import RenderedQuads
from segmentation.demo.planet.standin import DEMO_KEY
from segmentation.demo.planet.storage import Storage

_AT_ONCE_BYTES = 4096


def start(cache: Path, port: int, key: str, faults: Faults | None = None) -> str:
    """Start to serve in the background; returns the API's base URL."""
    leftovers.clear(cache.rglob(f"{leftovers.PREFIX}*"))
    storage = Storage(RenderedQuads(cache))
    api = Api(Links(key), storage)
    answers: dict[str, Answer] = {"api": api.answer, "storage": storage.answer}
    if faults is not None:
        answers = disturb(answers, faults, key)
    storage.url = f"http://{LOOPBACK}:{serve(answers['storage']).server_port}"
    api.links.host = f"http://{LOOPBACK}:{serve(answers['api'], port).server_port}"
    return api.links.host + PREFIX


def _wait_for_the_end() -> None:
    """Wait until the standard input closes, or the handler of a signal ends the process.

    A signal that comes in the moment before a read begins would be handled only after it, which may be never: signals
    write to a socket, too, and both are waited for.
    """
    woken, waking = socket.socketpair()
    waking.setblocking(False)
    signal.set_wakeup_fd(waking.fileno())
    stdin = sys.stdin.fileno()
    while True:
        ready, _, _ = select.select([stdin, woken], [], [])
        if woken in ready:
            woken.recv(_AT_ONCE_BYTES)
        if stdin in ready and not os.read(stdin, _AT_ONCE_BYTES):
            return


def main(arguments: list[str] | None = None) -> None:
    """Serve until the standard input closes."""
    parser = cli.Parser(prog="python -m segmentation.demo.planet.server", description=__doc__)
    parser.add_argument("--cache", type=a_folder, required=True, help="folder for rendered quads")
    parser.add_argument(
        "--port", type=WholeNumber(0, 65_535), default=0, help="port of the API (default: any free one)"
    )
    parser.add_argument("--key", default=DEMO_KEY, help="the API key to accept (default: %(default)s)")
    parser.add_argument("--faults", type=Faults.from_json, metavar="JSON", help="what goes wrong, and counts (tests)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("ready", start(options.cache, options.port, options.key, options.faults), flush=True)
    try:
        _wait_for_the_end()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
