"""What a run of Tocsin may be told: arguments, TOCSIN_* in the environment, files of secrets, then these defaults.

The environment is read here and nowhere else. Settings are frozen; secrets, and addresses that may hold one, never
appear in their repr.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.errors import ConfigError

_LEAST_TOKEN = 16
_SECRETS_DIR = "TOCSIN_SECRETS_DIR"


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TOCSIN_", frozen=True, extra="ignore")

    data: Path = Path("tocsin-data")
    """Everything this process keeps: PostgreSQL's files, the token, the journal, the lock."""
    secrets_dir: Path | None = None
    """Files named as the variables, in any case (`tocsin_dsn`): each holds what its variable would."""
    dsn: str = Field("", repr=False)
    """A PostgreSQL of yours (15 or newer); empty: one is started in the data directory."""
    mqtt_host: str = "127.0.0.1"
    mqtt_port: int = Field(1883, ge=0, le=65535)
    anonymous: bool = True
    """Clients of this machine need no login. Say no where a proxy or a TLS terminator brings others in by loopback."""
    mqtt_proxy_socket: Path | None = None
    """A unix socket on which a TLS terminator brings clients by PROXY protocol 2, with or without certificates."""
    http_host: str = "127.0.0.1"
    http_port: int = Field(8080, ge=0, le=65535)
    console: bool = True
    """Whether `tocsin up` serves the web console, in a process of its own, at `http_host`."""
    console_port: int = Field(8090, ge=0, le=65535)
    token: SecretStr = SecretStr("")
    """Opens the HTTP API; empty: one is made in the data directory. Consoles side by side need the same."""
    rules: Path | None = None
    """A rule pack to activate at the start; None keeps the active one (at first the default pack)."""
    routes: Path | None = None
    """Who is told by which channel (TOML); None: the journal, and the webhook below if it is set."""
    webhook_url: str = Field("", repr=False)
    webhook_secret: SecretStr = SecretStr("")
    twilio_account: str = ""
    """Account SID of the SMS carrier; empty: nobody is texted, and what would have been said is in the journal."""
    twilio_token: SecretStr = SecretStr("")
    twilio_sender: str = ""
    """The number that texts come from (E.164), or the SID of a messaging service."""
    twilio_url: str = "https://api.twilio.com"
    """Another far end that speaks the same HTTP; for tests and for a relay of yours."""
    public_url: str = Field("", pattern=r"^(https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?)?$")
    """Address of the console as phones reach it; empty: messages have no link that opens an alarm."""
    duty_phone: str = Field("", pattern=r"^[0-9+() -]{0,32}$")
    """The duty desk's number, named in messages; empty: none is."""
    language: str = Field("en", pattern="^(en|zh)$")
    """Of messages to recipients who have not said theirs."""
    heartbeat_url: str = Field("", repr=False)
    """Called every `heartbeat_s` while all is well, so that an outside watcher hears when it is not."""
    heartbeat_s: float = Field(30.0, gt=0)
    log_retention_h: float = Field(24.0, gt=0)
    reading_retention_days: float = Field(365.0, gt=0)
    audit_retention_days: float = Field(400.0, gt=0, le=36_500)
    """How long the log of acts is kept."""
    checkpoint_s: float = Field(30.0, gt=0)
    failpoint: str = ""
    """NAME[:COUNT]: the process kills itself there; for tests of kills."""
    kafka: str = ""
    """`host:port`, more by commas: the log of a cluster. Empty: the log is rows of PostgreSQL, in one process."""
    kafka_config: Path | None = None
    """More of Kafka's client settings, `name=value` a line (security.protocol, sasl.username …); librdkafka's names."""
    instance: str = Field("", pattern="^[A-Za-z0-9._-]{0,64}$")
    """This door's, bridge's, worker's or desk's name, its own for ever; empty: the machine's name."""
    broker: str = ""
    """`mqtt://` or `mqtts://[user@]host[:port]` of the broker that a bridge reads."""
    broker_password: SecretStr = SecretStr("")
    broker_share: str = "tocsin"
    """Group of the bridges that share a subscription; empty: this bridge takes everything by itself."""
    broker_ca: Path | None = None
    """Certificates that the broker's must descend from; None: the system's."""
    speed: float = Field(1.0, ge=1, le=1000)
    """Time passes so many times faster, for simulated devices; `tocsin up` alone."""
    starts: datetime | None = None
    """What that time begins with, UTC; None: now, or where it was."""
    clock_file: Path | None = None
    """A file that holds seconds by which the wall clock is off; for tests of clock steps."""
    led_clock: Path | None = None
    """A file of `tocsin.clocks`: its time is led by a test, or runs faster than ours (`tocsin up --speed`)."""

    @field_validator("token")
    @classmethod
    def _is_no_guess(cls, token: SecretStr) -> SecretStr:
        if 0 < len(token) < _LEAST_TOKEN:
            raise ValueError(f"it has fewer than {_LEAST_TOKEN} characters")
        return token

    @classmethod
    def told(cls, **arguments: Any) -> Settings:
        """Arguments of a command, those that were not given (None) left to the environment and the defaults.

        Raises ConfigError naming the setting that cannot be.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        given["_secrets_dir"] = _secrets_dir()
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            name = "_".join(str(part) for part in first["loc"])
            raise ConfigError(
                f"{first['msg'].lower()}.", field=f"TOCSIN_{name.upper()}", mend="See docs/reference/settings.md."
            ) from error
        except OSError as error:
            raise ConfigError(
                f"{error.filename} cannot be read: {error.strerror}",
                field=_SECRETS_DIR,
                mend="Let this process's user read it.",
            ) from error


def _secrets_dir() -> str | None:
    """Looked at before the settings are made, since it holds some of them."""
    folder = os.environ.get(_SECRETS_DIR) or None
    if folder is not None and not Path(folder).is_dir():
        raise ConfigError(f"there is no folder {folder}", field=_SECRETS_DIR, mend="Make it, or leave the setting out.")
    return folder


def connect_dsn(data: Path | None = None) -> str:
    """The PostgreSQL of a running Tocsin: the one the user names, else the one in the data directory.

    Raises ConfigError when neither is there.
    """
    settings = Settings.told(data=data)
    if settings.dsn:
        return settings.dsn
    from tocsin.postgres import dsn_of_running  # noqa: PLC0415  psycopg and the binaries are not needed for --help

    dsn = dsn_of_running(settings.data)
    if dsn is None:
        raise ConfigError(
            f"no Tocsin runs in {settings.data}",
            field="--data",
            mend="Start one with `tocsin up`, or name its data directory with --data or TOCSIN_DATA.",
        )
    return dsn
