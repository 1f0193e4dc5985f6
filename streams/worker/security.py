"""How Faust's client gets into Kafka: the operator's settings by librdkafka's names, as all other clients take them."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path

import faust
from faust.types.auth import CredentialsT

from schemas.errors import ConfigError

_FIELD = "TOCSIN_KAFKA_CONFIG"
_OFF = frozenset({"false", "f", "0", "no"})
_KNOWN = frozenset(
    {
        "security.protocol", "sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password",
        "ssl.ca.location", "ssl.ca.pem", "ssl.certificate.location", "ssl.certificate.pem",
        "ssl.key.location", "ssl.key.pem", "ssl.key.password",
        "ssl.endpoint.identification.algorithm", "enable.ssl.certificate.verification",
    }
)  # fmt: skip
_PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def credentials_of(config: Mapping[str, str]) -> CredentialsT | None:
    """As Faust takes them; None: neither login nor encryption. What does not concern security is passed over.

    Raises ConfigError for what Faust's client cannot do, and for certificates that cannot be read.
    """
    for name in config:
        if name.startswith(("sasl.", "ssl.", "security.", "enable.ssl.")) and name not in _KNOWN:
            known = ", ".join(sorted(_KNOWN))
            raise ConfigError(f"{name} is not known to a worker's client.", field=_FIELD, mend=f"It knows {known}.")
    protocol = config.get("security.protocol", "plaintext").lower()
    if protocol not in _PROTOCOLS:
        raise ConfigError(f"there is no security.protocol {protocol!r}.", field=_FIELD, mend=f"Of {_PROTOCOLS}.")
    context = _context(config) if protocol.endswith("ssl") else None
    if not protocol.startswith("sasl"):
        return faust.SSLCredentials(context) if context is not None else None
    mechanism = config.get("sasl.mechanism", config.get("sasl.mechanisms", "")).upper()
    if mechanism not in _MECHANISMS:
        raise ConfigError(
            f"a worker cannot log in by sasl.mechanism {mechanism!r}.",
            field=_FIELD,
            mend=f"It can by {', '.join(_MECHANISMS)}, or by a certificate.",
        )
    return faust.SASLCredentials(
        username=config.get("sasl.username", ""),
        password=config.get("sasl.password", ""),
        ssl_context=context,
        mechanism=mechanism,
    )


def _context(config: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(
            cafile=config.get("ssl.ca.location"), cadata=config.get("ssl.ca.pem", "").replace("\\n", "\n") or None
        )
        if config.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
            context.check_hostname = False
        if config.get("enable.ssl.certificate.verification", "true").lower() in _OFF:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        _load_own(context, config)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigError(f"a certificate or key cannot be read: {error}", field=_FIELD) from error
    return context


def _load_own(context: ssl.SSLContext, config: Mapping[str, str]) -> None:
    """Our certificate and its key; Python takes them from files only."""
    password = config.get("ssl.key.password")
    with tempfile.TemporaryDirectory(prefix="tocsin-") as folder:
        files = []
        for what in ("certificate", "key"):
            file = config.get(f"ssl.{what}.location")
            text = config.get(f"ssl.{what}.pem")
            if text is not None:
                written = Path(folder) / what
                written.touch(mode=0o600)
                written.write_text(text.replace("\\n", "\n"))
                file = str(written)
            files.append(file)
        certificate, key = files
        if certificate is not None:
            context.load_cert_chain(certificate, key, password)
