"""deploy/systemd: units that systemd takes, hardened, with the settings of the other recipes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.recipes import DEPLOY, compose, is_ours, units

FOLDER = DEPLOY / "systemd"
UNITS = units()
HARDENING = (FOLDER / "tocsin-.service.d" / "hardening.conf").read_text()


def _installed(folder: Path) -> dict[str, Path]:
    """The units as they would lie in /etc/systemd/system, with a program that is there; `worker@` as `worker@1`."""
    shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
    found = {}
    for name, text in UNITS.items():
        file = folder / name.replace("@.", "@1.")
        file.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.M))
        found[name] = file
    return found


def _analyze(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is missing. On Debian: apt install systemd")
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"}
    return subprocess.run([program, *words], capture_output=True, text=True, env=environment, cwd=folder)


@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_the_unit(tmp_path: Path, name: str) -> None:
    """A misspelt line is passed over with a warning that nobody reads."""
    done = _analyze(tmp_path, "verify", "--man=no", str(_installed(tmp_path)[name]))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", UNITS)
def test_the_unit_is_hardened(tmp_path: Path, name: str) -> None:
    """systemd's own measure, 0 to 10, of what a break-in could reach; above 2 something was lost."""
    unit = str(_installed(tmp_path)[name])
    done = _analyze(tmp_path, "security", "--offline=yes", "--threshold=20", "--no-pager", unit)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


def test_hardening_reaches_every_unit() -> None:
    """The folder's name is what systemd goes by."""
    assert all(name.startswith("tocsin-") for name in UNITS)
    assert "DynamicUser=yes" in HARDENING
    assert "NoNewPrivileges=yes" in HARDENING


@pytest.mark.parametrize("name", [name for name in UNITS if name != "tocsin-migrate.service"])
def test_what_runs_is_started_again(name: str) -> None:
    """Parts end on what they cannot mend, and go on from what is committed."""
    assert "\nRestart=always\n" in UNITS[name]
    assert "\nWantedBy=multi-user.target\n" in UNITS[name]
    assert "StartLimitIntervalSec=0" in HARDENING


def test_units_on_one_machine_do_not_meet() -> None:
    """Each has its own port, name and folder."""
    cluster = {
        name: text for name, text in UNITS.items() if name not in {"tocsin-up.service", "tocsin-migrate.service"}
    }
    for setting in ("TOCSIN_HTTP_PORT", "TOCSIN_INSTANCE", "TOCSIN_DATA"):
        values = [re.findall(rf"^Environment={setting}=(\S+)$", text, re.M) for text in cluster.values()]
        assert all(len(value) == 1 for value in values)
        assert len({value for (value,) in values}) == len(cluster)


def test_the_environment_file_has_the_settings_of_compose() -> None:
    """One set of settings, however it is run."""
    text = (FOLDER / "cluster.env").read_text()
    told = set(re.findall(r"^#?(TOCSIN_\w+)=", text, re.M))
    services = [one for one in compose()["services"].values() if is_ours(one)]
    used = {name for one in services for name in one.get("environment", {})}
    assert used - {"TOCSIN_INSTANCE", "TOCSIN_SECRETS_DIR"} <= told


def test_only_those_who_change_tables_have_the_owners_role() -> None:
    """Door, bridge, desk and console face the outside; none of them could drop a table."""
    owners = {name for name, text in UNITS.items() if "LoadCredential=tocsin:/etc/tocsin/secrets-owner\n" in text}
    assert owners == {"tocsin-migrate.service", "tocsin-worker@.service"}
