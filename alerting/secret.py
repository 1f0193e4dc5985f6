"""Keys that all processes of the house share, made when first asked for. They stand in PostgreSQL and its backup."""

from __future__ import annotations

import secrets

import psycopg

from schemas.errors import ServiceAway

LINKS = "links"
"""Signs the links in messages."""
_BYTES = 32
_MAKE = "INSERT INTO house_secrets (name, secret) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_READ = "SELECT secret FROM house_secrets WHERE name = %s"


def house_secret(dsn: str, name: str) -> bytes:
    """The same for every process and after every start. Raises ServiceAway."""
    try:
        with psycopg.connect(dsn, application_name="tocsin secrets") as connection:
            connection.execute(_MAKE, [name, secrets.token_bytes(_BYTES)])
            row = connection.execute(_READ, [name]).fetchone()
    except psycopg.OperationalError as error:
        raise ServiceAway("PostgreSQL", str(error).strip()) from error
    assert row is not None
    return bytes(row[0])
