"""sprig's functions on secrets and chance.

What makes keys and certificates is refused: a Workflow's name or label is no place for a private key.
bcrypt and cryptography are imported on the first call only; hardly any binding needs them.

Source: Masterminds/sprig v3.3.0 crypto.go; Masterminds/goutils v1.1.1 cryptorandomstringutils.go;
huandu/xstrings v1.5.0 (Shuffle).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import string
import uuid
from collections.abc import Callable, Mapping
from typing import Final

from chalicelib.core.expressions.base64s import decode_base64
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.sprig.functions import (
    INT,
    LIST,
    SLOW,
    STRING,
    Function,
    GoType,
    Sources,
    bounded_text,
    table,
)
from chalicelib.core.expressions.values import printable
from chalicelib.core.expressions.values import text as text_of
from chalicelib.core.expressions.values import utf8 as bytes_of

_BLOCK: Final = 16  # bytes of an AES block
_COSTLY: Final = 500_000  # steps; these take a tenth of a second on purpose
_BCRYPT_COST: Final = 10  # bcrypt.DefaultCost in Go


# --- passwords ------------------------------------------------------------------------------------------


def bcrypt_hash(sources: Sources, password: str) -> str:
    """The bcrypt hash of a password; a text that says why where there is none."""
    import bcrypt

    raw = bytes_of(password)
    if len(raw) > 72:
        return "failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes"
    salt = b"$2a$%02d$" % _BCRYPT_COST + _bcrypt_base64(sources.random.randbytes(16))
    return bcrypt.hashpw(raw, salt).decode()


def _bcrypt_base64(raw: bytes) -> bytes:
    usual = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    own = "./" + string.ascii_uppercase + string.ascii_lowercase + string.digits
    return base64.b64encode(raw).rstrip(b"=").translate(bytes.maketrans(usual.encode(), own.encode()))


def htpasswd(sources: Sources, user: str, password: str) -> str:
    """A line for an htpasswd file; a text that says why for a user with a colon."""
    if ":" in user:
        return f"invalid username: {user}"
    return f"{user}:{bcrypt_hash(sources, password)}"


# Master Password's templates: V, v vowels, C, c consonants, A, a letters, n digits, o others, x all.
_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "maximum": ("anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"),
    "long": (
        "CvcvnoCvcvCvcv", "CvcvCvcvnoCvcv", "CvcvCvcvCvcvno", "CvccnoCvcvCvcv", "CvccCvcvnoCvcv",
        "CvccCvcvCvcvno", "CvcvnoCvccCvcv", "CvcvCvccnoCvcv", "CvcvCvccCvcvno", "CvcvnoCvcvCvcc",
        "CvcvCvcvnoCvcc", "CvcvCvcvCvccno", "CvccnoCvccCvcv", "CvccCvccnoCvcv", "CvccCvccCvcvno",
        "CvcvnoCvccCvcc", "CvcvCvccnoCvcc", "CvcvCvccCvccno", "CvccnoCvcvCvcc", "CvccCvcvnoCvcc",
        "CvccCvcvCvccno",
    ),
    "medium": ("CvcnoCvc", "CvcCvcno"),
    "short": ("Cvcn",),
    "basic": ("aaanaaan", "aannaaan", "aaannaaa"),
    "pin": ("nnnn",),
}  # fmt: skip
_CONSONANTS: Final = "bcdfghjklmnpqrstvwxyz"
_LETTERS: Final = "AEIOUaeiou" + _CONSONANTS.upper() + _CONSONANTS
_CHARACTERS: Mapping[str, str] = {
    "V": "AEIOU",
    "C": _CONSONANTS.upper(),
    "v": "aeiou",
    "c": _CONSONANTS,
    "A": "AEIOU" + _CONSONANTS.upper(),
    "a": _LETTERS,
    "n": string.digits,
    "o": "@&%?,=[]_:-+*$#!'^~;()/.",
    "x": _LETTERS + string.digits + "!@#$%^&*()",
}
_SCOPE: Final = b"com.lyndir.masterpassword"


def derive_password(counter: int, template: str, password: str, user: str, site: str) -> str:
    """Master Password's password for a site. expr has no uint32: only nil, 0, can be the counter."""
    if template not in _TEMPLATES:
        return f"cannot find password template {template}"
    raw_user, raw_site = bytes_of(user), bytes_of(site)
    key = hashlib.scrypt(
        bytes_of(password),
        salt=_SCOPE + len(raw_user).to_bytes(4, "big") + raw_user,
        n=32768, r=8, p=2, maxmem=1 << 27, dklen=64,
    )  # fmt: skip
    message = _SCOPE + len(raw_site).to_bytes(4, "big") + raw_site + counter.to_bytes(4, "big")
    seed = hmac.digest(key, message, "sha256")
    choices = _TEMPLATES[template]
    shape = choices[seed[0] % len(choices)]
    return "".join(
        _CHARACTERS[kind][byte % len(_CHARACTERS[kind])] for kind, byte in zip(shape, seed[1:], strict=False)
    )


# --- AES ------------------------------------------------------------------------------------------------


def encrypt_aes(sources: Sources, password: str, plain: str) -> str:
    """AES-256-CBC under the first 32 bytes of the password, base64 of the random vector and the blocks."""
    if not plain:
        return ""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    raw = bytes_of(plain)
    padding = _BLOCK - len(raw) % _BLOCK
    vector = sources.random.randbytes(_BLOCK)
    encryptor = Cipher(algorithms.AES(_aes_key(password)), modes.CBC(vector)).encryptor()
    blocks = encryptor.update(raw + bytes([padding]) * padding) + encryptor.finalize()
    return base64.b64encode(vector + blocks).decode()


def decrypt_aes(password: str, encrypted: str) -> str:
    """What `encryptAES` encrypted. Raises FunctionError for what it cannot have made."""
    if not encrypted:
        return ""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    raw = decode_base64(encrypted)
    if len(raw) < _BLOCK:
        capacity = len(bytes_of(encrypted)) // 4 * 3
        raise FunctionError(f"runtime error: slice bounds out of range [:{_BLOCK}] with capacity {capacity}")
    vector, blocks = raw[:_BLOCK], raw[_BLOCK:]
    if len(blocks) % _BLOCK:
        raise FunctionError("crypto/cipher: input not full blocks")
    if not blocks:
        raise FunctionError("runtime error: index out of range [-1]")
    decryptor = Cipher(algorithms.AES(_aes_key(password)), modes.CBC(vector)).decryptor()
    plain = decryptor.update(blocks) + decryptor.finalize()
    size = len(plain) - plain[-1]
    if size < 0:
        raise FunctionError(f"runtime error: slice bounds out of range [:{size}]")
    return text_of(plain[:size])


def _aes_key(password: str) -> bytes:
    return bytes_of(password)[:32].ljust(32, b"\0")


# --- chance ---------------------------------------------------------------------------------------------


def _random_text(characters: str) -> Callable[[Sources, int], str]:
    def random_text(sources: Sources, count: int) -> str:
        bounded_text(count)
        return "".join(characters[sources.random.randrange(len(characters))] for _ in range(count))

    return random_text


def random_bytes(sources: Sources, count: int) -> str:
    """Base64 of as many random bytes."""
    if count < 0:
        raise FunctionError("runtime error: makeslice: len out of range")
    bounded_text(count)
    return base64.b64encode(sources.random.randbytes(count)).decode()


def uuidv4(sources: Sources) -> str:
    """A random UUID."""
    return str(uuid.UUID(bytes=sources.random.randbytes(16), version=4))


def shuffle(sources: Sources, text: str) -> str:
    """The characters in random order."""
    runes = list(printable(text))
    for index in range(len(runes) - 1, 0, -1):
        other = sources.random.randrange(index + 1)
        runes[index], runes[other] = runes[other], runes[index]
    return "".join(runes)


def _not_made(*_: object) -> None:
    raise AssertionError("refused functions are not called")


_NO_KEYS: Final = "Lynceus makes no keys or certificates"
_CERTIFICATE = GoType.CERTIFICATE

FUNCTIONS = table(
    Function("bcrypt", (STRING,), bcrypt_hash, needs_sources=True, cost=_COSTLY),
    Function("decryptAES", (STRING, STRING), decrypt_aes),
    Function(
        "derivePassword", (GoType.UINT32, STRING, STRING, STRING, STRING), derive_password, cost=_COSTLY
    ),
    Function("encryptAES", (STRING, STRING), encrypt_aes, needs_sources=True),
    Function("htpasswd", (STRING, STRING), htpasswd, needs_sources=True, cost=_COSTLY),
    Function("randAlpha", (INT,), _random_text(string.ascii_letters), needs_sources=True, weight=SLOW),
    Function(
        "randAlphaNum",
        (INT,),
        _random_text(string.ascii_letters + string.digits),
        needs_sources=True,
        weight=SLOW,
    ),
    Function(
        "randAscii", (INT,), _random_text("".join(map(chr, range(32, 127)))), needs_sources=True, weight=SLOW
    ),
    Function("randBytes", (INT,), random_bytes, needs_sources=True),
    Function("randNumeric", (INT,), _random_text(string.digits), needs_sources=True, weight=SLOW),
    Function("shuffle", (STRING,), shuffle, needs_sources=True, weight=SLOW),
    Function("uuidv4", (), uuidv4, needs_sources=True),
    Function("buildCustomCert", (STRING, STRING), _not_made, refused=_NO_KEYS),
    Function("genCA", (STRING, INT), _not_made, refused=_NO_KEYS),
    Function("genCAWithKey", (STRING, INT, STRING), _not_made, refused=_NO_KEYS),
    Function("genPrivateKey", (STRING,), _not_made, refused=_NO_KEYS),
    Function("genSelfSignedCert", (STRING, LIST, LIST, INT), _not_made, refused=_NO_KEYS),
    Function("genSelfSignedCertWithKey", (STRING, LIST, LIST, INT, STRING), _not_made, refused=_NO_KEYS),
    Function("genSignedCert", (STRING, LIST, LIST, INT, _CERTIFICATE), _not_made, refused=_NO_KEYS),
    Function(
        "genSignedCertWithKey",
        (STRING, LIST, LIST, INT, _CERTIFICATE, STRING),
        _not_made,
        refused=_NO_KEYS,
    ),
    Function("getHostByName", (STRING,), _not_made, refused="expressions do not use the network"),
)
