"""The mark of a last line that had no line end.

`produce` cuts lines, so a record cannot tell "a\\nb" from "a\\nb\\n". The last record of an input
without a final line end carries this header, and `consume` holds back the line end behind it
until another record follows: a pipe through a topic then gives back its bytes exactly.
"""

from typing import Final

from headrace.wire.records import Header

NAME: Final = "headrace.unterminated"
NAME_BYTES: Final = NAME.encode()
HEADER: Final = Header(NAME, b"")
