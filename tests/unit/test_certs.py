"""`tocsin certs`: what it makes is taken by TLS, and nothing is lost by calling it twice."""

from __future__ import annotations

import ipaddress
import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from schemas.errors import ConfigError
from tocsin.certs import Files, issue, load_authority
from tocsin.commands.certs import app

NOW = datetime(2026, 9, 21, 12, tzinfo=UTC)
YEAR = timedelta(days=365)


def make(folder: Path, *names: str, life: timedelta = YEAR, now: datetime = NOW) -> Files:
    return issue(folder, names, life, 10 * YEAR, now)


def certificate_in(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def greet(server_files: Files, name: str) -> None:
    """A TLS handshake in memory; raises SSLError when the client does not trust the server under this name."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(server_files.certificate, server_files.key)
    client = ssl.create_default_context(cafile=str(server_files.ca))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        for end in tuple(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                pass


@pytest.mark.parametrize("name", ["mosquitto", "mqtt.example.org", "192.0.2.7", "2001:db8::7", "one.shops.example.org"])
def test_a_client_that_trusts_the_authority_takes_the_server_by_each_name(tmp_path: Path, name: str) -> None:
    """Inside the cluster it has another name than outside."""
    today = datetime.now(UTC)
    names = ("mosquitto", "mqtt.example.org", "192.0.2.7", "2001:db8::7", "*.shops.example.org")
    greet(make(tmp_path, *names, now=today), name)


def test_a_name_that_is_not_in_it_is_refused(tmp_path: Path) -> None:
    """Otherwise one certificate could stand for any server."""
    files = make(tmp_path, "mosquitto", now=datetime.now(UTC))
    with pytest.raises(ssl.SSLCertVerificationError):
        greet(files, "elsewhere")


def test_servers_of_one_folder_have_one_authority(tmp_path: Path) -> None:
    """Clients are given one file, however many servers there are."""
    first = make(tmp_path, "mosquitto")
    second = make(tmp_path, "kafka")
    assert (first.is_new_ca, second.is_new_ca) == (True, False)
    root = certificate_in(second.ca)
    for files in (first, second):
        certificate_in(files.certificate).verify_directly_issued_by(root)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A second call by mistake would lock every client out."""
    make(tmp_path, "mosquitto")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match="is there already"):
        make(tmp_path, "mosquitto")
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    """Whoever reads a key is the server."""
    make(tmp_path, "mosquitto")
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes == {"ca.crt": 0o644, "ca.key": 0o600, "mosquitto.crt": 0o644, "mosquitto.key": 0o600}


def test_a_renewed_server_keeps_its_authority(tmp_path: Path) -> None:
    """Renewing must not mean a visit to every device."""
    old = make(tmp_path, "mosquitto")
    ca = old.ca.read_bytes()
    for file in (old.certificate, old.key):
        file.rename(file.with_suffix(file.suffix + ".old"))
    make(tmp_path, "mosquitto", now=NOW + YEAR)
    assert old.ca.read_bytes() == ca


def test_a_server_does_not_outlive_its_authority(tmp_path: Path) -> None:
    """A chain ends with its first link; what is said of its end must be true."""
    assert make(tmp_path, "mosquitto", life=20 * YEAR).ends == NOW + 10 * YEAR


def test_an_authority_that_has_ended_signs_nothing(tmp_path: Path) -> None:
    """No client would take it; that is said here and not there."""
    make(tmp_path, "mosquitto")
    with pytest.raises(ConfigError, match="ended on 2036-09-18"):
        make(tmp_path, "kafka", now=NOW + 10 * YEAR)


@pytest.mark.parametrize("name", ["", "shop 1", "-mqtt", "mqtt..org", "mqtt/../../etc", "*.*.org", "a" * 64, "mq_tt"])
def test_a_name_that_is_none_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    """A slip of the pen would be found by the first client only."""
    with pytest.raises(ConfigError, match="neither a host name nor an address"):
        make(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_the_name_of_the_authority_is_not_a_servers(tmp_path: Path) -> None:
    """Its files would be the authority's."""
    with pytest.raises(ConfigError, match="authority's own name"):
        make(tmp_path, "ca")


@pytest.mark.parametrize("broken", ["ca.key", "ca.crt"])
def test_half_an_authority_is_said_and_not_replaced(tmp_path: Path, broken: str) -> None:
    """The key is often kept elsewhere; a new authority would not be the one that clients trust."""
    make(tmp_path, "mosquitto")
    (tmp_path / broken).unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        make(tmp_path, "kafka")
    assert not (tmp_path / broken).exists()


def test_key_and_certificate_of_two_authorities_do_not_match(tmp_path: Path) -> None:
    """What they sign would be trusted by nobody."""
    make(tmp_path / "one", "mosquitto")
    make(tmp_path / "two", "mosquitto")
    (tmp_path / "one" / "ca.key").write_bytes((tmp_path / "two" / "ca.key").read_bytes())
    with pytest.raises(ConfigError, match="do not match"):
        load_authority(tmp_path / "one")


def test_the_command_says_what_it_made(tmp_path: Path) -> None:
    """A person must know which file goes where."""
    done = CliRunner().invoke(app, ["mosquitto", "192.0.2.7", "--folder", str(tmp_path), "--days", "30"])
    assert done.exit_code == 0
    assert all(f"{tmp_path}/{name}" in done.output for name in ("ca.crt", "ca.key", "mosquitto.crt", "mosquitto.key"))
    names = certificate_in(tmp_path / "mosquitto.crt").extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("192.0.2.7")]


def test_the_command_answers_programs(tmp_path: Path) -> None:
    """A recipe reads paths, not sentences."""
    done = CliRunner().invoke(app, ["mosquitto", "--folder", str(tmp_path), "--json"])
    answer = json.loads(done.output)
    assert Path(answer["certificate"]) == tmp_path / "mosquitto.crt"
    assert datetime.fromisoformat(answer["ends"]) > datetime.now(UTC)
