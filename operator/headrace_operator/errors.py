"""The API server's faults as our own errors: the four answers that a reconciler tells apart.

Every message says what was asked for and what came back, so it can stand in a condition or a log
line as it is. Sources: Kubernetes API conventions, "HTTP Status codes".
"""


class KubeError(Exception):
    """Anything that the API server refused, or could not be asked."""


class NotFound(KubeError):
    """404: the object is not there, or its whole API is not served."""


class Conflict(KubeError):
    """409: somebody was faster. A resourceVersion or UID no longer holds; read again."""


class AlreadyExists(Conflict):
    """409 on create: an object of that name stands there."""


class Gone(KubeError):
    """410: a continue token or a resourceVersion is too old; list anew."""


class Refused(KubeError):
    """The server understood and said no (400, 401, 403, 405, 413, 415, 422). Asking again is
    of no use until somebody changes the object, the permissions or the quota.

    `message` is the server's own sentence, `reason` its word (Invalid, Forbidden, ...) and
    `causes` the reasons of its details (NamespaceTerminating, FieldValueInvalid, ...).
    """

    def __init__(
        self, text: str, *, message: str = "", reason: str = "", causes: tuple[str, ...] = ()
    ) -> None:
        super().__init__(text)
        self.message = message or text
        self.reason = reason
        self.causes = causes

    @property
    def namespace_terminating(self) -> bool:
        """True where only the end of the namespace stands in the way."""
        return "NamespaceTerminating" in self.causes


class Unreachable(KubeError):
    """No usable answer in time (connection, deadline, 429, 5xx). A write may have happened."""


class LeaseLost(KubeError):
    """This process may no longer act: another operator may already be the active one."""
