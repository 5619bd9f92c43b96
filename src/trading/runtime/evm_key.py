"""The key of the EVM account, out of a file that is ours alone."""

from typing import Final

from pydantic import SecretStr

from trading.config import EvmSection
from trading.errors import InvalidInput
from trading.signing.files import read_private

KEY_BYTES_MAX: Final = 1_024


def evm_key_of(section: EvmSection) -> SecretStr:
    """Return the first line of ``evm.key_file``.

    Raises: InvalidInput naming the setting, without anything of what is in the file: none is named, it is no plain
    file of ours that nobody else may touch, or its first line is empty.
    """
    if section.key_file is None:
        msg = "evm.key_file: a pool of the EVM chain with real money needs the file that holds the key of its account"
        raise InvalidInput(msg, field="evm.key_file", hint="TRADING_EVM__KEY_FILE")
    hint = "a plain file of the daemon's own user, chmod 600, no link"
    try:
        content = read_private(section.key_file.expanduser(), KEY_BYTES_MAX)
    except InvalidInput as error:
        msg = f"evm.key_file: {error.message}"
        raise InvalidInput(msg, field="evm.key_file", hint=hint) from error
    lines = content.decode("ascii", "replace").splitlines()
    if not lines or not lines[0].strip():
        msg = f"evm.key_file: {section.key_file} has an empty first line"
        raise InvalidInput(msg, field="evm.key_file", hint="0x and 64 hex digits")
    return SecretStr(lines[0].strip())
