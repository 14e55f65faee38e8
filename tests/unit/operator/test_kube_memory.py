"""The resources in memory keep the contract that the real API server keeps (e2e/kubernetes)."""

import pytest

from tests.kube_contract import CLAUSES, Clause, a_topic
from tests.kube_memory import MemoryKube


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.__name__)
async def test_contract(clause: Clause) -> None:
    kube = MemoryKube()
    await clause(kube, await kube.create(a_topic("t")))
