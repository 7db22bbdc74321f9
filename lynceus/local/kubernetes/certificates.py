"""A certificate authority for one cluster and the certificate it serves TLS with.

kubectl sends tokens over TLS only, so a cluster that knows users needs both. Elliptic keys are made in under a
millisecond; with a directory they are kept, so that a kubeconfig stays good over restarts.
"""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAYS = 3650  # the files live as long as the directory does


@dataclass(frozen=True)
class Certificates:
    """PEM texts: the authority's certificate, and the server's certificate and key."""

    authority: str
    server: str
    key: str

    def context(self) -> ssl.SSLContext:
        """A server's TLS context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # load_cert_chain reads files only.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as chain:
            chain.write(self.server + self.key)
            chain.flush()
            context.load_cert_chain(chain.name)
        return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    # The machine's own time, not the cluster's clock: TLS clients compare with theirs.
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )


def make_certificates() -> Certificates:
    """A new authority and a certificate for this machine's loopback names."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = "lynceus local cluster"
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    authority = (
        _certificate(authority_name, authority_name, authority_key, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [
        x509.DNSName(name) for name in ("localhost", "kubernetes", "kubernetes.default")
    ]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
    server = (
        _certificate("localhost", authority_name, key, authority_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key_text = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Certificates(
        authority.public_bytes(pem).decode(), server.public_bytes(pem).decode(), key_text.decode()
    )


def kept_certificates(directory: Path | None) -> Certificates:
    """The certificates in the directory, made and kept there the first time; new ones without a directory."""
    if directory is None:
        return make_certificates()
    paths = [directory / name for name in ("ca.pem", "server.pem", "server-key.pem")]
    if all(path.exists() for path in paths):
        authority, server, key = (path.read_text() for path in paths)
        return Certificates(authority, server, key)
    made = make_certificates()
    for path, text in zip(paths, (made.authority, made.server, made.key), strict=True):
        path.touch(mode=0o600)
        path.write_text(text)
    return made
