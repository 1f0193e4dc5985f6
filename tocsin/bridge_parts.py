"""How a bridge is put together, in one process and in a cluster; the log and the leases are the composition's."""

from __future__ import annotations

from collections.abc import Callable

from ingest.bridge import Bridge, BridgeSettings
from ingest.bridge.sessions import Leases
from ingest.intake import JsonIntake
from ingest.ports import RoundLog
from schemas.errors import ConfigError
from tocsin.settings import Settings


def bridge_settings(settings: Settings, name: str, group: str) -> BridgeSettings:
    """Raises ConfigError when no broker is named, or what is named is none."""
    if not settings.broker:
        raise ConfigError(
            "no broker is named.", field="TOCSIN_BROKER", mend="Write it as mqtt://HOST:PORT, or mqtts:// with TLS."
        )
    return BridgeSettings.of(
        name, settings.broker, password=settings.broker_password.get_secret_value(), group=group, ca=settings.broker_ca
    )


def make_bridge(
    settings: BridgeSettings,
    *,
    log: RoundLog,
    leases: Leases | None = None,
    clock: Callable[[], int],
    after_us: int,
    failpoint: Callable[[str], None],
) -> Bridge:
    return Bridge(
        settings, intake=JsonIntake(), log=log, leases=leases, clock=clock, after_us=after_us, failpoint=failpoint
    )
