"""The operator's Kafka settings, told once by librdkafka's names, hold for a worker's client, too."""

from __future__ import annotations

import ssl

import faust
import pytest

from schemas.errors import ConfigError
from streams.worker.security import credentials_of

LOGIN = {"sasl.username": "ann", "sasl.password": "secret"}


def test_no_security_is_none() -> None:
    """What concerns speed is a matter of the other clients."""
    assert credentials_of({}) is None
    assert credentials_of({"security.protocol": "PLAINTEXT", "linger.ms": "5"}) is None


def test_tls_checks_names_unless_told_not_to() -> None:
    """As librdkafka does by default."""
    found = credentials_of({"security.protocol": "ssl"})
    assert isinstance(found, faust.SSLCredentials)
    assert found.context.check_hostname
    assert found.context.verify_mode is ssl.CERT_REQUIRED
    lax = credentials_of({"security.protocol": "ssl", "ssl.endpoint.identification.algorithm": "none"})
    assert isinstance(lax, faust.SSLCredentials)
    assert not lax.context.check_hostname
    assert lax.context.verify_mode is ssl.CERT_REQUIRED


def test_a_login_goes_over_tls_where_told() -> None:
    """SCRAM and PLAIN, under both names of the setting."""
    found = credentials_of({"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", **LOGIN})
    assert isinstance(found, faust.SASLCredentials)
    assert (found.username, found.password, found.mechanism.value) == ("ann", "secret", "SCRAM-SHA-512")
    assert found.ssl_context is not None
    plain = credentials_of({"security.protocol": "sasl_plaintext", "sasl.mechanisms": "plain", **LOGIN})
    assert isinstance(plain, faust.SASLCredentials)
    assert plain.ssl_context is None


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"security.protocol": "tls"}, "security.protocol"),
        ({"security.protocol": "sasl_ssl", "sasl.mechanism": "GSSAPI"}, "GSSAPI"),
        ({"ssl.keystore.location": "x"}, "ssl.keystore.location"),
        ({"security.protocol": "ssl", "ssl.ca.location": "/nowhere/ca.pem"}, "cannot be read"),
        ({"security.protocol": "ssl", "ssl.ca.pem": "no certificate"}, "cannot be read"),
    ],
)
def test_what_cannot_be_followed_is_said(config: dict[str, str], words: str) -> None:
    """A worker that went on without it would talk in the clear, or not at all."""
    with pytest.raises(ConfigError, match=words) as caught:
        credentials_of(config)
    assert "secret" not in str(caught.value)
