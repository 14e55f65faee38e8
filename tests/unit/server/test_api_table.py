"""Every API that is advertised is answered, and nothing else is."""

from headrace.server.apis import FRAME_HANDLERS, HANDLERS
from headrace.wire.versions import APIS


def test_what_is_advertised_is_handled() -> None:
    assert sorted([*FRAME_HANDLERS, *HANDLERS]) == sorted(APIS)


def test_each_handler_stands_in_the_file_of_its_key() -> None:
    for key, handler in (FRAME_HANDLERS | HANDLERS).items():
        module = handler.__module__.rsplit(".", 1)[1]
        assert module.startswith(f"a{key:02}_"), (key, module)
