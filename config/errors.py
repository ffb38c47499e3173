"""The errors that a person can mend: each is one line that says what is wrong and what to do."""


class InputError(ValueError):
    """Something the user gave (a file, a key, an argument) is wrong.

    The message is one line that names it, says what was expected and what to do about it. The
    command line prints that line and exits with 2; library users catch it as a ValueError.
    """


class MissingDataError(InputError, FileNotFoundError):
    """A file or folder that is needed is not there; the message says where it should be."""

    def __str__(self):
        """Return the message alone: OSError would print a tuple of its arguments."""
        return str(self.args[0]) if self.args else ""
