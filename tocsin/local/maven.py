"""Java programs that tests and `./dev cluster` run: jars brought by Maven once and kept in the user's cache."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import ConfigError, ServiceAway

_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_PATIENCE_S = 600.0
_DEPENDENCY = (
    "<dependency><groupId>{0}</groupId><artifactId>{1}</artifactId><version>{2}</version></dependency>"
)  # fmt: skip
_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tocsin</groupId><artifactId>local-jars</artifactId><version>1</version>
  <dependencies>{0}</dependencies>
</project>
"""


@dataclass(frozen=True, slots=True)
class JavaProgram:
    """artifacts: `group:artifact:version`, the program's own first.  install: what mends that a tool is missing."""

    name: str
    artifacts: Sequence[str]
    install: str

    def java(self) -> str:
        """The Java that is installed. Raises ConfigError with the line that installs one."""
        program = shutil.which("java")
        if program is None:
            raise ConfigError(f"{self.name} needs Java 17 or newer.", mend=self.install)
        return program

    def jars(self) -> Path:
        """The folder with its jars, brought at the first call. Safe when several processes call at once.

        Raises ConfigError where Maven is needed and missing, ServiceAway when it cannot bring them.
        """
        version = self.artifacts[0].split(":")[2]
        folder = Path.home() / ".cache" / "tocsin" / f"{self.name.lower()}-{version}"
        if not self._is_whole(folder):
            self._bring(folder)
        return folder

    def _is_whole(self, folder: Path) -> bool:
        _, artifact, version = self.artifacts[0].split(":")
        return (folder / f"{artifact}-{version}.jar").exists()

    def _bring(self, folder: Path) -> None:
        maven = shutil.which("mvn")
        if maven is None:
            raise ConfigError(f"The jars of {self.name} are brought by Maven, which is missing.", mend=self.install)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="jars-") as scratch:
            pom = Path(scratch) / "pom.xml"
            pom.write_text(_POM.format("".join(_DEPENDENCY.format(*one.split(":")) for one in self.artifacts)))
            out = Path(scratch) / "jars"
            words = [maven, "-B", "-q", "-f", str(pom), _COPY, f"-DoutputDirectory={out}", "-DincludeScope=runtime"]
            try:
                done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)
            except subprocess.TimeoutExpired as error:
                raise ServiceAway("Maven", f"it brought no jars within {_PATIENCE_S:.0f} s.") from error
            if done.returncode or not self._is_whole(out):
                said = (done.stdout or done.stderr)[-600:].strip()
                raise ServiceAway("Maven", f"it could not bring the jars of {self.name}: {said}")
            try:
                out.rename(folder)
            except OSError:
                # Another process was quicker; what it brought is as good.
                if not self._is_whole(folder):
                    raise
