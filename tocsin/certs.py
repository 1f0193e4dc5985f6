"""A certificate authority of one's own, and certificates of servers and clients under it: TLS for a house.

Clients trust `ca.crt`; a server has `NAME.crt` and `NAME.key`, a client those of its login in `logins/`. Keys are
P-256, which every TLS library of the last ten years takes. Nothing that is there is ever overwritten.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from registry.logins import check_name
from schemas.errors import ConfigError

_AUTHORITY = "ca"
_HOST = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
_LONGEST_HOST = 253
_LONGEST_COMMON_NAME = 64
_BACK = timedelta(hours=1)
"""Clocks of clients that are a little slow take a new certificate at once."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


@dataclass(frozen=True, slots=True)
class Files:
    """What `issue` has written, or found (`ca`)."""

    ca: Path
    certificate: Path
    key: Path
    ends: datetime
    is_new_ca: bool


def issue_to_login(folder: Path, login: str, life: timedelta, ca_life: timedelta, now: datetime) -> Files:
    """A client's certificate in `folder`/logins, whose common name is its login at the door: `shop-1/kitchen`.

    Raises ConfigError as `issue`, and for a login that is too long for a certificate.
    """
    check_name(login)
    if not all(part.strip(".") for part in login.split("/")):
        raise ConfigError(f"{login!r} cannot name a file.", mend="Leave out what is empty or dots alone.")
    if len(login) > _LONGEST_COMMON_NAME:
        raise ConfigError(
            f"{login!r} has more than the {_LONGEST_COMMON_NAME} characters of a certificate's name.",
            mend="Let this one log in with its password.",
        )
    return _issue(folder, f"logins/{login}", lambda authority: make_client(authority, login, life, now), ca_life, now)


def issue(folder: Path, names: Sequence[str], life: timedelta, ca_life: timedelta, now: datetime) -> Files:
    """A server's certificate in `folder`, under its authority, which is made where there is none.

    names: host names, `*.` in front allowed, or addresses; the first names the files. Raises ConfigError, and then has
    written nothing, when a name is neither, a file is there already, or the authority is unreadable or has ended.
    """
    stem = names[0].removeprefix("*.")
    if stem == _AUTHORITY:
        raise ConfigError(f"{stem!r} is the authority's own name", mend="Put another of the server's names first.")
    return _issue(folder, stem, lambda authority: make_server(authority, names, life, now), ca_life, now)


def _issue(folder: Path, stem: str, make: Callable[[Issued], Issued], ca_life: timedelta, now: datetime) -> Files:
    ca = folder / f"{_AUTHORITY}.crt"
    is_new = not (ca.exists() or ca.with_suffix(".key").exists())
    authority = make_authority("Tocsin", ca_life, now) if is_new else load_authority(folder)
    made = make(authority)
    for file in (folder / f"{stem}.crt", folder / f"{stem}.key"):
        if file.exists():
            raise ConfigError(f"{file} is there already", mend="Nothing is overwritten: move it away first.")
    if is_new:
        _write(folder, _AUTHORITY, authority)
    certificate, key = _write(folder, stem, made)
    return Files(ca, certificate, key, made.certificate.not_valid_after_utc, is_new)


def make_authority(name: str, life: timedelta, now: datetime) -> Issued:
    """A root that may sign certificates of servers and clients, and no further authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _named(name)
    certificate = (
        _draft(subject, subject, key, life, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Issued(certificate, key)


def make_server(authority: Issued, names: Sequence[str], life: timedelta, now: datetime) -> Issued:
    """A server's certificate for all its names: host names, `*.` in front allowed, or addresses.

    It never outlives its authority. Raises ConfigError when a name is neither, or the authority has ended.
    """
    alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
    return _make(authority, names[0], ExtendedKeyUsageOID.SERVER_AUTH, life, now, alternatives)


def make_client(authority: Issued, name: str, life: timedelta, now: datetime) -> Issued:
    """A client's certificate. Raises ConfigError when the authority has ended."""
    return _make(authority, name, ExtendedKeyUsageOID.CLIENT_AUTH, life, now)


def _make(
    authority: Issued,
    name: str,
    purpose: x509.ObjectIdentifier,
    life: timedelta,
    now: datetime,
    alternatives: x509.SubjectAlternativeName | None = None,
) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    root = authority.certificate
    if root.not_valid_after_utc <= now:
        raise ConfigError(
            f"the authority ended on {root.not_valid_after_utc:%Y-%m-%d}",
            field="ca.crt",
            mend="Make a new one in another folder, and let clients trust both for a while.",
        )
    draft = (
        _draft(_named(name), root.subject, key, min(life, root.not_valid_after_utc - now), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    if alternatives is not None:
        draft = draft.add_extension(alternatives, critical=False)
    return Issued(draft.sign(authority.key, hashes.SHA256()), key)


def load_authority(folder: Path) -> Issued:
    """The authority that is there. Raises ConfigError when it cannot be read, or key and certificate do not match."""
    try:
        certificate = x509.load_pem_x509_certificate((folder / f"{_AUTHORITY}.crt").read_bytes())
        key = serialization.load_pem_private_key((folder / f"{_AUTHORITY}.key").read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"the authority in {folder} cannot be read: {error}", field="ca.key", mend="Restore ca.crt and ca.key."
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ConfigError(f"key and certificate in {folder} do not match", field="ca.key", mend="Restore the two.")
    return Issued(certificate, key)


def _write(folder: Path, name: str, issued: Issued) -> tuple[Path, Path]:
    """`NAME.crt`, readable by all, and `NAME.key`, by its owner only."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    _write_new(key, issued.key_pem, 0o600)
    _write_new(certificate, issued.certificate_pem, 0o644)
    return certificate, key


def _write_new(file: Path, content: bytes, mode: int) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as out:
            os.fchmod(handle, mode)
            out.write(content)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}", mend="Name a folder of yours.") from error


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, life: timedelta, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACK)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_LONGEST_COMMON_NAME])])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        if len(name) > _LONGEST_HOST or not _HOST.fullmatch(name):
            raise ConfigError(
                f"{name!r} is neither a host name nor an address", mend="For example: mqtt.example.org, 192.0.2.7."
            ) from None
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
