"""API keys: their form, the checksum that catches typos before any look-up, the digest that is stored."""

import hashlib
import zlib

RANDOM_BYTES = 32
DEFAULT_PREFIX = "th-"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_CHARS = 43  # 62**43 > 2**256
_CHECKSUM_CHARS = 6  # 62**6 > 2**32
_BODY_CHARS = _SECRET_CHARS + _CHECKSUM_CHARS
_MAX_PREFIX_CHARS = 32


def new_key(random_bytes: bytes, prefix: str = DEFAULT_PREFIX) -> str:
    """A key made of 32 bytes from a source of real randomness, such as `secrets.token_bytes(32)`.

    Raises ValueError when there are more or fewer bytes, or when the prefix cannot begin a key.
    """
    if len(random_bytes) != RANDOM_BYTES:
        raise ValueError(f"a key is made of {RANDOM_BYTES} random bytes, not {len(random_bytes)}")
    if not _may_begin_a_key(prefix):
        raise ValueError("a key's prefix has 1 to 32 letters, digits, '-' or '_'")
    secret = prefix + _base62(int.from_bytes(random_bytes, "big"), _SECRET_CHARS)
    return secret + _checksum(secret)


def well_formed(key: str) -> bool:
    """Whether the checksum fits: False for a typo or a cut-off key. Any prefix will do, so that keys made under
    another `key_prefix` stay valid."""
    prefix, body = key[:-_BODY_CHARS], key[-_BODY_CHARS:]
    if not (_may_begin_a_key(prefix) and body.isascii() and body.isalnum()):
        return False
    return _checksum(key[:-_CHECKSUM_CHARS]) == key[-_CHECKSUM_CHARS:]


def digest(key: str) -> bytes:
    """What is stored and looked up: SHA-256, which is enough for a key of 256 random bits."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def hint(key: str) -> str:
    """What a key is shown as after its making: its prefix and last four characters (which belong to the checksum)."""
    return f"{key[:-_BODY_CHARS]}...{key[-4:]}"


def _may_begin_a_key(prefix: str) -> bool:
    bare = prefix.replace("-", "").replace("_", "")
    return 0 < len(prefix) <= _MAX_PREFIX_CHARS and prefix.isascii() and (not bare or bare.isalnum())


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode("ascii")), _CHECKSUM_CHARS)


def _base62(number: int, width: int) -> str:
    digits: list[str] = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
