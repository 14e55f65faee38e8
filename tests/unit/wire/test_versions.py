from headrace.wire.schema import REQUEST, message_class
from headrace.wire.versions import APIS, FLEXIBLE_FROM, PRODUCE


def test_produce_is_advertised_from_0_and_served_from_3() -> None:
    produce = APIS[PRODUCE]
    assert (produce.advertised_from, produce.served_from, produce.max_version) == (0, 3, 13)
    assert [produce.serves(v) for v in (2, 3, 13, 14)] == [False, True, True, False]
    others = [api for api in APIS.values() if api.advertised_from != api.served_from]
    assert others == [produce]


def test_flexible_versions_are_those_of_kio() -> None:
    for api in APIS.values():
        for version in range(api.served_from, api.max_version + 1):
            flexible = message_class(api.key, version, REQUEST).__flexible__
            assert flexible == (version >= FLEXIBLE_FROM[api.key]), (api.name, version)


def test_what_waits_for_later_issues_is_not_advertised() -> None:
    sasl, transactions, acls, groups_of_kip_848 = {17, 36}, {24, 25, 26, 28}, {29, 30, 31}, {68, 69}
    assert not APIS.keys() & (sasl | transactions | acls | groups_of_kip_848)
