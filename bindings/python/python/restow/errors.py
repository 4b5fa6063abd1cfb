"""What can go wrong, one class for each thing that the caller should do about it."""


class RestowError(Exception):
    """Any error of restow's; its words are those of the command line."""

    is_retryable = False


class Invalid(RestowError, ValueError):
    """The request makes no sense as it stands. Correct the address or the value named."""


class NotFound(RestowError):
    """The store named is not there. Check the name."""


class Unsupported(RestowError, NotImplementedError):
    """The layout or engine cannot do this. Choose another store."""


class Damaged(RestowError):
    """Stored data is not what it claims to be. The record is named; restore or remove it."""


class Refused(RestowError):
    """A precondition does not hold. Nothing was changed; the message says what would allow it."""


class Retired(RestowError):
    """The store was retired when its migration ended. Use the other store of that migration."""


class Unavailable(RestowError):
    """The store cannot be reached or is busy. Try again."""

    is_retryable = True


class Credentials(RestowError):
    """The store does not accept who is asking. Check user, password, role or permissions."""


class Failed(RestowError):
    """The engine or the machine failed. Mend the cause, and try again."""
