"""The programs of Apache Kafka."""

from __future__ import annotations

from pathlib import Path

from tocsin.local.maven import JavaProgram

VERSION = "4.1.0"
_KAFKA = JavaProgram(
    "Kafka",
    (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"),
    "On Debian: apt install default-jdk-headless maven. Or name a Kafka of yours: TOCSIN_KAFKA=host:port",
)


def java() -> str:
    """The Java that is installed. Raises ConfigError with the line that installs one."""
    return _KAFKA.java()


def jars() -> Path:
    """The folder with Kafka's jars, 43 MB. Raises ConfigError where Maven is needed and missing, ServiceAway."""
    return _KAFKA.jars()
