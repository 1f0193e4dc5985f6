"""An Apache Kafka of our own on loopback: one node that is broker and controller, for a cluster on one machine.

Its data stay in the folder, so it may be killed and started again, on the same port. It is small and answers fast
after a member's death; it does not flush every record to the disk, so it stands a kill, and not a power cut.
"""

from __future__ import annotations

import base64
import secrets
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from schemas.errors import ServiceAway
from tocsin.local.kafka_jars import jars, java
from tocsin.local.mosquitto import free_port

_READY_S = 180.0
_STOP_S = 20.0
_LOOK_S = 0.05
_HEAP_MB = 512
_SMALL = (
    f"-Xms128m -Xmx{_HEAP_MB}m -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:G1PeriodicGCInterval=60000"
    " -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true"
).split()
_LOGGING = """\
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %m (%c)%n%throwable
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{map}
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
num.network.threads=2
num.io.threads=4
num.partitions=1
auto.create.topics.enable=false
message.max.bytes=8388608
offsets.topic.num.partitions=8
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=200
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=16777216
log.retention.check.interval.ms=30000
controlled.shutdown.enable=false
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
"""
_SECURED = """\
listener.name.secured.ssl.keystore.type=PEM
listener.name.secured.ssl.keystore.location={chain}
listener.name.secured.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.secured.plain.sasl.jaas.config={plain} required{logins};
listener.name.secured.scram-sha-512.sasl.jaas.config={scram} required;
"""
_LOGIN_MODULE = "org.apache.kafka.common.security."


@dataclass(frozen=True, slots=True)
class Secured:
    """A further listener, with TLS and a login: by PLAIN, or by SCRAM-SHA-512 for those whom Kafka is told of.

    chain: a file of the server's key and certificate, PEM.  logins: passwords by name, for PLAIN.
    """

    chain: Path
    logins: Mapping[str, str]

    def properties(self) -> str:
        logins = "".join(f' user_{name}="{password}"' for name, password in self.logins.items())
        plain, scram = f"{_LOGIN_MODULE}plain.PlainLoginModule", f"{_LOGIN_MODULE}scram.ScramLoginModule"
        return _SECURED.format(chain=self.chain, plain=plain, scram=scram, logins=logins)


class Kafka:
    """`start`, `stop`, `kill`, and `start` again; or an existing Kafka, which is only waited for."""

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        *,
        existing: str = "",
        forwarded: Mapping[str, int] | None = None,
        secured: Secured | None = None,
    ) -> None:
        """port: 0 takes a free one at the first start, and keeps it.  existing: `host:port` of a Kafka of yours.

        forwarded: names of further listeners and the ports that their clients are told; whoever listens there forwards
        to `ports`.
        """
        self.folder = folder
        self.port = port
        self.ports: dict[str, int] = {}
        """Of the further listeners."""
        self._forwarded = dict(forwarded or {})
        self._secured = secured
        self._secured_port = 0
        self._controller = 0
        self._existing = existing
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def servers(self) -> str:
        """What its clients are told."""
        return self._existing or f"127.0.0.1:{self.port}"

    @property
    def secured_servers(self) -> str:
        """What clients of the secured listener are told."""
        return f"127.0.0.1:{self._secured_port}"

    @property
    def pid(self) -> int:
        """0 while it does not run, or is not ours."""
        return self._process.pid if self._process is not None else 0

    @property
    def is_ours(self) -> bool:
        """Whether it may be killed."""
        return not self._existing

    def start(self) -> None:
        """Return as soon as it serves, in 3 s where the jars are there.

        Raises ConfigError where Java or Maven is missing, ServiceAway when it does not come up.
        """
        if self._process is not None:
            return
        if self.is_ours:
            self._launch()
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """A clean stop; an existing one is left alone."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone; an existing one is left alone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Kafka:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _log(self) -> Path:
        return self.folder / "kafka.log"

    def _launch(self) -> None:
        program = [java(), "-cp", f"{jars()}/*"]
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        self._controller = self._controller or free_port()
        data = self.folder / "data"
        properties = self.folder / "server.properties"
        self.ports = self.ports or {name: free_port() for name in self._forwarded}
        heard, told = dict(self.ports), dict(self._forwarded)
        protocols = dict.fromkeys(told, "PLAINTEXT")
        if self._secured is not None:
            self._secured_port = self._secured_port or free_port()
            heard["SECURED"] = told["SECURED"] = self._secured_port
            protocols["SECURED"] = "SASL_SSL"
        text = _PROPERTIES.format(
            port=self.port,
            controller=self._controller,
            data=data,
            listeners="".join(f",{name}://127.0.0.1:{port}" for name, port in heard.items()),
            advertised="".join(f",{name}://127.0.0.1:{port}" for name, port in told.items()),
            map="".join(f",{name}:{protocol}" for name, protocol in protocols.items()),
        )
        properties.write_text(text + (self._secured.properties() if self._secured is not None else ""))
        logging = self.folder / "log4j2.properties"
        logging.write_text(_LOGGING)
        program.insert(1, f"-Dlog4j2.configurationFile={logging}")
        if not (data / "meta.properties").exists():
            self._format(program, properties)
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                [program[0], *_SMALL, *program[1:], "kafka.Kafka", str(properties)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def _format(self, program: list[str], properties: Path) -> None:
        name = base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")
        words = [*program, "kafka.tools.StorageTool", "format", "-t", name, "-c", str(properties)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServiceAway(
                "Kafka", f"its storage cannot be formatted: {(done.stderr or done.stdout)[-600:].strip()}"
            )

    def _wait_until_ready(self) -> None:
        """Look at the port first: a client that is refused waits ever longer before it looks again."""
        host, _, port = self.servers.split(",")[0].rpartition(":")
        until = time.monotonic() + _READY_S
        while time.monotonic() < until and (self._process is None or self._process.poll() is None):
            try:
                socket.create_connection((host, int(port)), 1.0).close()
                AdminClient({"bootstrap.servers": self.servers, "log_level": 0}).list_topics(timeout=5.0)
                return
            except (OSError, KafkaException):
                time.sleep(_LOOK_S)
        if not self.is_ours:
            raise ServiceAway("Kafka", f"{self.servers} does not answer.", mend="Is TOCSIN_KAFKA right?")
        words = self._log.read_bytes()[-600:].decode(errors="replace").strip()
        raise ServiceAway("Kafka", f"it did not come up: {words}", mend=f"See {self._log}.")
