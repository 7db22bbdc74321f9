"""Bearer tokens: static ones for named users, signed ones for service accounts, legacy ones in Secrets.

A service account's token is a JWT, RS256 under a key of this cluster, with the claims of TokenRequest. A token that
does not hold raises `TokenError` in the words of a TokenReview; to everybody else it is just 401.
Source: kubernetes pkg/serviceaccount (claims.go, legacy.go) and section "TokenRequest" of
https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from chalicelib.core.errors import LynceusError
from lynceus.local.kubernetes.statuses import go_quoted

ISSUER: Final = "https://kubernetes.default.svc"
LEGACY_ISSUER: Final = "kubernetes/serviceaccount"
AUDIENCES: Final = (ISSUER,)
SHORTEST: Final = 600  # seconds a TokenRequest may ask for at least
_SKEW: Final = 10  # seconds of difference between clocks that are forgiven


class TokenError(LynceusError):
    """Why a token does not hold, as a TokenReview says it."""


@dataclass(frozen=True)
class User:
    """Who is asking."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As a UserInfo."""
        found: dict[str, Any] = {"username": self.name, "uid": self.uid, "groups": list(self.groups)}
        found["extra"] = {name: list(values) for name, values in self.extra.items()}
        return {name: value for name, value in found.items() if value}


ANONYMOUS: Final = User("system:anonymous", "", ("system:unauthenticated",))


def service_account_user(
    namespace: str, name: str, uid: str = "", extra: Mapping[str, tuple[str, ...]] | None = None
) -> User:
    """The user that a service account is."""
    return User(
        f"system:serviceaccount:{namespace}:{name}", uid, service_account_groups(namespace), extra or {}
    )


def service_account_groups(namespace: str) -> tuple[str, ...]:
    """The groups of every service account of a namespace."""
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")


def service_account_of(user_name: str) -> tuple[str, str] | None:
    """(namespace, name) of a service account's user name, None for anybody else's."""
    parts = user_name.split(":")
    if len(parts) == 4 and parts[:2] == ["system", "serviceaccount"] and all(parts[2:]):
        return parts[2], parts[3]
    return None


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Signer:
    """The cluster's RSA key; made when first needed, since making it takes longer than the whole start."""

    def __init__(self, load: Callable[[], bytes | None], save: Callable[[bytes], None]) -> None:
        self._load, self._save = load, save
        self._key: rsa.RSAPrivateKey | None = None
        self._lock = threading.Lock()

    @property
    def key(self) -> rsa.RSAPrivateKey:
        """The private key, made and saved at the first use."""
        with self._lock:
            if self._key is None:
                pem = self._load()
                if pem is None:
                    self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
                    self._save(
                        self._key.private_bytes(
                            serialization.Encoding.PEM,
                            serialization.PrivateFormat.PKCS8,
                            serialization.NoEncryption(),
                        )
                    )
                else:
                    loaded = serialization.load_pem_private_key(pem, None)
                    if not isinstance(loaded, rsa.RSAPrivateKey):
                        raise TypeError(f"the signing key is a {type(loaded).__name__}, expected an RSA key")
                    self._key = loaded
            return self._key

    @property
    def key_id(self) -> str:
        """The id that tokens name the key by."""
        public = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return _encoded(hashlib.sha256(public).digest())

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The claims as a JWT."""
        header = {"alg": "RS256", "kid": self.key_id}
        parts = [
            _encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (header, dict(claims))
        ]
        signature = self.key.sign(".".join(parts).encode(), padding.PKCS1v15(), hashes.SHA256())
        return ".".join([*parts, _encoded(signature)])

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a JWT of ours; raises TokenError."""
        parts = token.split(".")
        try:
            header, claims = (json.loads(_decoded(part)) for part in parts[:2])
            signature = _decoded(parts[2])
        except (ValueError, binascii.Error, IndexError, RecursionError):
            raise TokenError("invalid bearer token") from None
        if len(parts) != 3 or not isinstance(header, dict) or not isinstance(claims, dict):
            raise TokenError("invalid bearer token")
        if claims.get("iss") not in (ISSUER, LEGACY_ISSUER):
            raise TokenError("invalid bearer token")
        try:
            self.key.public_key().verify(
                signature, ".".join(parts[:2]).encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            raise _because("go-jose/go-jose: error in cryptographic primitive") from None
        return claims

    def key_set(self) -> dict[str, Any]:
        """The public half as a JWK set."""
        numbers = self.key.public_key().public_numbers()
        return {
            "keys": [
                {
                    "use": "sig",
                    "kty": "RSA",
                    "kid": self.key_id,
                    "alg": "RS256",
                    "n": _encoded(numbers.n.to_bytes(256, "big")),
                    "e": _encoded(numbers.e.to_bytes(3, "big")),
                }
            ]
        }


def _because(reason: str) -> TokenError:
    return TokenError(f"[invalid bearer token, {reason}]")


class Tokens:
    """Issues tokens and says whose they are; `find(store, key)` looks objects up."""

    def __init__(
        self, signer: Signer, find: Callable[[str, str], dict[str, Any] | None], clock: Callable[[], float]
    ) -> None:
        self._signer, self._find, self._clock = signer, find, clock
        self._static: dict[str, User] = {}

    def add(self, token: str, user: User) -> None:
        """Accept a token of our own choosing for a named user."""
        if "system:authenticated" not in user.groups:
            user = replace(user, groups=(*user.groups, "system:authenticated"))
        self._static[token] = user

    def key_set(self) -> dict[str, Any]:
        """What others check our tokens with."""
        return self._signer.key_set()

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Any claims as a token of this cluster, as the token controller makes legacy ones."""
        return self._signer.sign(claims)

    def issue(
        self,
        namespace: str,
        account: dict[str, Any],
        seconds: int,
        audiences: Iterable[str],
        secret: dict[str, Any] | None = None,
    ) -> tuple[str, int]:
        """A service account's token and the Unix second of its end; bound to a Secret, it ends with that too."""
        now = int(self._clock())
        metadata = account["metadata"]
        own: dict[str, Any] = {
            "namespace": namespace,
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        if secret is not None:
            own["secret"] = {name: secret["metadata"][name] for name in ("name", "uid")}
        claims = {
            "aud": list(audiences),
            "exp": now + seconds,
            "iat": now,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": own,
            "nbf": now,
            "sub": f"system:serviceaccount:{namespace}:{metadata['name']}",
        }
        return self._signer.sign(claims), now + seconds

    def user_of(self, token: str, audiences: Iterable[str] = AUDIENCES) -> tuple[User, list[str]]:
        """Whose the token is and for which of the audiences it holds; raises TokenError."""
        wanted = list(audiences)
        static = self._static.get(token)
        if static is not None:
            # Static tokens know no audience and hold for the server's own.
            held = [audience for audience in wanted if audience in AUDIENCES]
            if not held:
                raise TokenError("invalid bearer token")
            return static, held
        claims = self._signer.claims(token)
        if claims["iss"] == LEGACY_ISSUER:
            return self._legacy_user(token, claims, wanted)
        return self._bound_user(claims, wanted)

    def _bound_user(self, claims: dict[str, Any], wanted: list[str]) -> tuple[User, list[str]]:
        held = _common(claims.get("aud"), wanted)
        now = self._clock()
        if now > claims.get("exp", 0) + _SKEW:
            raise _because("service account token has expired")
        if now < claims.get("nbf", 0) - _SKEW:
            raise _because("service account token is not valid yet")
        own = claims.get("kubernetes.io") or {}
        account = own.get("serviceaccount") or {}
        namespace, name = str(own.get("namespace")), str(account.get("name"))
        uid = self._account_uid(namespace, name, str(account.get("uid")))
        secret = own.get("secret")
        if secret:
            found = self._find("secrets", f"{namespace}/{secret.get('name')}")
            if found is None or found["metadata"]["uid"] != secret.get("uid"):
                raise _because("service account token has been invalidated")
        extra = {"authentication.kubernetes.io/credential-id": (f"JTI={claims.get('jti')}",)}
        return service_account_user(namespace, name, uid, extra), held

    def _account_uid(self, namespace: str, name: str, uid: str) -> str:
        account = self._find("serviceaccounts", f"{namespace}/{name}")
        if account is None:
            raise _because(f"serviceaccounts {go_quoted(name)} not found")
        found: str = account["metadata"]["uid"]
        if found != uid:
            raise _because(f"service account UID ({found}) does not match claim ({uid})")
        return found

    def _legacy_user(self, token: str, claims: dict[str, Any], wanted: list[str]) -> tuple[User, list[str]]:
        held = _common(list(AUDIENCES), wanted)
        namespace, secret_name, name, uid = (
            str(claims.get(f"kubernetes.io/serviceaccount/{claim}", ""))
            for claim in ("namespace", "secret.name", "service-account.name", "service-account.uid")
        )
        secret = self._find("secrets", f"{namespace}/{secret_name}")
        if secret is None or secret["metadata"].get("deletionTimestamp"):
            raise _because("Token has been invalidated")
        if (secret.get("data") or {}).get("token") != base64.b64encode(token.encode()).decode():
            raise _because("Token does not match server's copy")
        return service_account_user(namespace, name, self._account_uid(namespace, name, uid)), held

    def legacy_secret(self, token: str) -> str:
        """The key of the Secret that a legacy token came from, "" for any other token."""
        if token in self._static or token.count(".") != 2:
            return ""
        try:
            claims = json.loads(_decoded(token.split(".")[1]))
            if claims.get("iss") != LEGACY_ISSUER:
                return ""
            namespace = claims["kubernetes.io/serviceaccount/namespace"]
            return f"{namespace}/{claims['kubernetes.io/serviceaccount/secret.name']}"
        except (ValueError, binascii.Error, KeyError, AttributeError):
            return ""


def _common(carried: Any, wanted: list[str]) -> list[str]:
    listed = carried if isinstance(carried, list) else [carried]
    held = [audience for audience in wanted if audience in listed]
    if not held:
        mine, target = (
            "[" + " ".join(go_quoted(str(each)) for each in audiences) + "]" for audiences in (listed, wanted)
        )
        raise _because(f"token audiences {mine} is invalid for the target audiences {target}")
    return held
