"""Which versions of etcd are trusted."""

import pytest
from headrace.meta.etcd.member import refuse_old
from headrace.meta.store import Unusable


@pytest.mark.parametrize("version", ["3.5.28", "3.5.99", "3.6.9", "3.6.16", "3.7.0", "4.0.0"])
def test_a_new_etcd_is_used(version: str) -> None:
    refuse_old("h:1", version)


@pytest.mark.parametrize("version", ["3.4.99", "3.5.27", "3.6.0", "3.6.8", "2.9.9", "", "main"])
def test_an_old_or_unknown_etcd_is_refused_with_the_cure(version: str) -> None:
    with pytest.raises(Unusable, match=r"etcd at h:1 is version .*upgrade it to 3\.6\.9"):
        refuse_old("h:1", version)
