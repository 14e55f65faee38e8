"""Each reason why an address cannot be listened on comes with its own cure."""

import errno
import socket

import pytest
from headrace.server.bind_fault import bind_fault


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EADDRINUSE, "x"), "Address already in use; another broker may be running"),
        (OSError(errno.EADDRNOTAVAIL, "x"), "name an address of this machine"),
        (socket.gaierror(socket.EAI_NONAME, "unknown name"), "unknown name; name an address"),
        (PermissionError(errno.EACCES, "x"), "Permission denied; choose another port"),
    ],
)
def test_its_cure(error: OSError, said: str) -> None:
    sentence = bind_fault("A://h:9092", error, "listeners")
    assert sentence.startswith("cannot listen on A://h:9092: ")
    assert said in sentence and sentence.endswith("(listeners)")
