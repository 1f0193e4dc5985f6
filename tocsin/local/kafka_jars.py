"""The programs of Apache Kafka: its jars, brought by Maven once and kept in the user's cache."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from schemas.errors import ConfigError, ServiceAway

VERSION = "4.1.0"
_ARTIFACT = "kafka_2.13"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_INSTALL = "On Debian: apt install default-jdk-headless maven. Or name a Kafka of yours: TOCSIN_KAFKA=host:port"
_PATIENCE_S = 600.0
_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tocsin</groupId><artifactId>local-kafka</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.24.3</version>
    </dependency>
  </dependencies>
</project>
"""


def java() -> str:
    """The Java that is installed. Raises ConfigError with the line that installs one."""
    program = shutil.which("java")
    if program is None:
        raise ConfigError("Kafka needs Java 17 or newer.", mend=_INSTALL)
    return program


def jars(version: str = VERSION) -> Path:
    """The folder with Kafka's jars, 43 MB, brought at the first call. Safe when several processes call at once.

    Raises ConfigError where Maven is needed and missing, ServiceAway when it cannot bring them.
    """
    folder = Path.home() / ".cache" / "tocsin" / f"kafka-{version}"
    if not _is_whole(folder, version):
        _bring(folder, version)
    return folder


def _is_whole(folder: Path, version: str) -> bool:
    return (folder / f"{_ARTIFACT}-{version}.jar").exists()


def _bring(folder: Path, version: str) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigError("Kafka's jars are brought by Maven, which is missing.", mend=_INSTALL)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="kafka-") as scratch:
        pom = Path(scratch) / "pom.xml"
        pom.write_text(_POM.format(artifact=_ARTIFACT, version=version))
        out = Path(scratch) / "jars"
        words = [maven, "-B", "-q", "-f", str(pom), _COPY, f"-DoutputDirectory={out}", "-DincludeScope=runtime"]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            raise ServiceAway("Maven", f"it brought no jars within {_PATIENCE_S:.0f} s.") from error
        if done.returncode or not _is_whole(out, version):
            raise ServiceAway(
                "Maven", f"it could not bring Kafka's jars: {(done.stdout or done.stderr)[-600:].strip()}"
            )
        try:
            out.rename(folder)
        except OSError:
            # Another process was quicker; what it brought is as good.
            if not _is_whole(folder, version):
                raise
