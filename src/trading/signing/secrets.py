"""Key material in memory: values whose every printed form is the public key or nothing at all."""

from typing import Any, Final, NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from solders.pubkey import Pubkey

from trading.errors import InvalidInput
from trading.model.mandate import Network, network_of

SEED_BYTES: Final = 32


class SecretKey:
    """An Ed25519 key of one wallet, bound to the chain that it is for.

    ``str``, ``repr`` and ``format`` give the public key; pickling, copying and comparing by content are refused, so
    that the seed leaves through ``seed_for_storage`` alone.
    """

    __slots__ = ("_key", "address", "genesis_hash")

    def __init__(self, seed: bytes, genesis_hash: str) -> None:
        if len(seed) != SEED_BYTES:
            msg = f"a key has {SEED_BYTES} bytes"  # what was given is not repeated
            raise InvalidInput(msg, field="key")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.address: Final = str(Pubkey.from_bytes(public))
        self.genesis_hash: Final = genesis_hash

    @classmethod
    def generate(cls, genesis_hash: str) -> "SecretKey":
        return cls(Ed25519PrivateKey.generate().private_bytes_raw(), genesis_hash)

    @property
    def network(self) -> Network:
        return network_of(self.genesis_hash)

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of the signature."""
        return self._key.sign(message)

    def seed_for_storage(self) -> bytes:
        """Return the 32 secret bytes, for the one who encrypts them at once."""
        return self._key.private_bytes_raw()

    def __repr__(self) -> str:
        return f"SecretKey({self.address}, {self.network})"

    def __str__(self) -> str:
        return self.address

    def __format__(self, spec: str) -> str:
        return format(self.address, spec)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        msg = f"the key of {self.address} is not copied and not pickled"
        raise TypeError(msg)


class Passphrase:
    """What a person typed. Printed, it is nothing; it is wiped as far as Python lets us."""

    __slots__ = ("_bytes",)

    def __init__(self, text: str) -> None:
        self._bytes = bytearray(text.encode())

    def reveal(self) -> bytes:
        return bytes(self._bytes)

    def wipe(self) -> None:
        for place in range(len(self._bytes)):
            self._bytes[place] = 0
        self._bytes.clear()

    def __len__(self) -> int:
        return len(self._bytes)

    def __repr__(self) -> str:
        return "Passphrase(...)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        msg = "a passphrase is not copied and not pickled"
        raise TypeError(msg)
