"""Where a cluster's log is: what is not said is named with its mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import ConfigError
from tocsin.layout import kafka_config, layout_of
from tocsin.settings import Settings


def test_a_file_of_kafkas_settings_is_read_with_comments_and_equals_signs_in_values(tmp_path: Path) -> None:
    """A password may hold an equals sign."""
    file = tmp_path / "kafka.properties"
    file.write_text("# how to log in\nsecurity.protocol = SASL_SSL\n\nsasl.password=a=b\n")
    assert kafka_config(file) == {"security.protocol": "SASL_SSL", "sasl.password": "a=b"}


def test_a_line_that_is_no_setting_is_named(tmp_path: Path) -> None:
    """The person who wrote the file finds the line."""
    file = tmp_path / "kafka.properties"
    file.write_text("security.protocol=SSL\nnonsense\n")
    with pytest.raises(ConfigError, match="line 2: TOCSIN_KAFKA_CONFIG"):
        kafka_config(file)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    """A typing error in a path is seen at the start."""
    with pytest.raises(ConfigError, match="cannot be read"):
        kafka_config(tmp_path / "none")


@pytest.mark.parametrize(("told", "field"), [({}, "TOCSIN_KAFKA"), ({"kafka": "127.0.0.1:1"}, "TOCSIN_DSN")])
def test_a_cluster_without_its_services_says_which_is_missing(told: dict[str, str], field: str) -> None:
    """A cluster's process never falls back to a database of its own."""
    with pytest.raises(ConfigError) as raised:
        layout_of(Settings.told(**told))
    assert raised.value.field == field


def test_a_database_without_a_log_names_the_command(dsn: str) -> None:
    """`tocsin migrate` makes the topics and writes the layout down."""
    with pytest.raises(ConfigError, match="tocsin migrate"):
        layout_of(Settings.told(kafka="127.0.0.1:1", dsn=dsn))
