"""Why an address cannot be listened on, in a sentence with its cure."""

import errno
import os
import socket


def bind_fault(address: str, error: OSError, where: str) -> str:
    """`where` names the settings and flags that choose the address."""
    return f"cannot listen on {address}: {_why(error)}; {_cure(error)} ({where})"


def _why(error: OSError) -> str:
    """The system's words: asyncio's own repeat the address, as a tuple."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else str(error.strerror or error)


def _cure(error: OSError) -> str:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return "name an address of this machine"
    if error.errno == errno.EADDRINUSE:
        return "another broker may be running there: stop it, or choose another port"
    return "choose another port"
