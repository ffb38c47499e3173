"""How the readers refuse a file."""

import pytest

from maskflownet.config.errors import InputError


def refusal(read, path):
    """Return the message with which a file is refused: one line that begins with its name."""
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: expected ") and ", got " in message
    assert "\n" not in message
    return message
