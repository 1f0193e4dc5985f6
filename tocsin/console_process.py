"""The web console's process: `python -m tocsin.console_process`, a child of `tocsin up`; no page costs the engine time.

It is told its settings and when to end by its `streams.lifeline`. It serves the listening socket that it inherits, so a
child that takes over from one that died answers whoever has been waiting.
"""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping

import httpx
from prometheus_client import CollectorRegistry

from alerting.composer import Reply
from streams.lifeline import follow, read_told
from tocsin.clocks import clock_of
from tocsin.console_child import ConsoleSettings
from tocsin.console_parts import ConsoleParts
from tocsin.crew import Crew
from tocsin.house import House
from tocsin.http_server import HttpServer
from tocsin.logs import configure
from tocsin.standing import Standings
from tocsin.standing.crew import crew_standing

_PATIENCE_S = 2.0


def asks_main(address: str, token: str) -> Callable[[], Mapping[str, str]]:
    """How all parts of the process at `address` stand, by its own word. Raises OSError when it does not answer."""
    client = httpx.Client(
        base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=_PATIENCE_S, trust_env=False
    )

    def ask() -> Mapping[str, str]:
        try:
            parts = client.get("/readyz").json()["parts"]
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise OSError(type(error).__name__) from error
        return {name: "" if said == "ok" else said for name, said in parts.items()}

    return ask


def main() -> int:
    """Serve until told to stop. Returns the exit code."""
    settings = read_told(ConsoleSettings)
    configure()
    house = House(clock_of(settings.clock_file, settings.led_clock))
    crew = Crew()
    crew.start("house", house.run, house.stop)
    parts = ConsoleParts(
        settings.dsn,
        house.now_us,
        crew,
        Reply(settings.public_url, settings.duty_phone),
        main=asks_main(settings.main, settings.token) if settings.main else None,
        data=settings.data,
    )
    standings = Standings(lambda: [crew_standing(crew)])
    app = parts.app(CollectorRegistry(), standings.troubles, settings.token, settings.language)
    bound = socket.socket(fileno=int(sys.argv[1]))
    server = HttpServer(app, "", 0, bound=bound, lifespan="on")
    follow(server.stop)
    # The parent decides: a Ctrl-C on the terminal reaches both, and the lifeline then closes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    # Not in the main thread, where the server would take the signals for itself.
    serving = threading.Thread(target=server.run, name="console-http")
    serving.start()
    while serving.is_alive() and not crew.failed.is_set():
        serving.join(0.2)
    server.stop()
    serving.join(_PATIENCE_S)
    crew.stop(_PATIENCE_S)
    parts.close()
    return 1 if crew.failed.is_set() else 0


if __name__ == "__main__":
    sys.exit(main())
