"""What a Cluster must keep that no single field shows: names that fit, sizes that exist.

Rules stand at the root where they read the object's name or its status, and so that taking a part
out and putting it back does not pass them. Each rule about status is a transition rule that holds
for any update which leaves the part alone: the API server runs them on status updates as well.
"""

from typing import Final

from headrace_operator.crd.struct import Rule, cel_unchanged

CLUSTER_CHARACTERS_MAX: Final = 36
"""Of a Cluster's name: its PVCs (-broker-999999), Services and etcd stay within 52 with it."""

CLUSTER_AND_POOL_CHARACTERS_MAX: Final = 44
"""Of both names: a StatefulSet cluster-pool-999999 has at most 52 characters, for its pods carry
its name with an 11 character revision in a label of at most 63."""

NAMES: Final = (
    Rule(
        cel=f"""self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')
            && size(self.metadata.name) <= {CLUSTER_CHARACTERS_MAX}""",
        message=f"metadata.name must start with a letter, consist of lower-case letters, digits"
        f" and '-', not end with '-', and have at most {CLUSTER_CHARACTERS_MAX} characters: the"
        " names of pods and Services begin with it",
    ),
    Rule(
        cel="!self.metadata.name.endsWith('-etcd')",
        message="metadata.name must not end with '-etcd': the etcd of another Cluster may be"
        " named so",
    ),
    Rule(
        cel=f"""self.spec.pools.all(p,
            size(self.metadata.name) + size(p.name) <= {CLUSTER_AND_POOL_CHARACTERS_MAX})""",
        message="metadata.name and the name of each pool must have at most"
        f" {CLUSTER_AND_POOL_CHARACTERS_MAX} characters together: a StatefulSet's name is made"
        " of both",
    ),
)

_SAME_POOL_SIZE: Final = """oldSelf.spec.pools.exists(o,
    o.name == p.name && string(o.storage.size) == string(p.storage.size))"""
_REAL_POOL_SIZE: Final = """self.status.pools.all(s, s.name != p.name || !has(s.storageSize)
    || !isQuantity(string(s.storageSize)) || !isQuantity(string(p.storage.size))
    || !quantity(string(p.storage.size)).isLessThan(quantity(string(s.storageSize))))"""

VOLUMES: Final = (
    Rule(
        cel=f"""!has(self.status) || !has(self.status.pools)
            || self.spec.pools.all(p, {_SAME_POOL_SIZE} || {_REAL_POOL_SIZE})""",
        message="spec.pools[].storage.size must not be below the volumes that exist"
        " (status.pools[].storageSize): volumes cannot shrink",
    ),
    Rule(
        cel="""!has(self.status) || !has(self.status.pools) || self.spec.pools.all(p,
            oldSelf.spec.pools.exists(o, o.name == p.name)
            || self.status.pools.all(s, s.name != p.name || !has(s.storageClassName)
                || (has(p.storage.className) ? p.storage.className == s.storageClassName
                    : s.storageClassName == '')))""",
        message="a pool that comes back must have the storage.className of its volumes"
        " (status.pools[].storageClassName)",
    ),
    Rule(
        cel="""!has(self.status) || !has(self.status.etcd) || !has(self.status.etcd.storageSize)
            || !has(self.spec.etcd) || !has(self.spec.etcd.managed)
            || (has(oldSelf.spec.etcd) && has(oldSelf.spec.etcd.managed)
                && string(oldSelf.spec.etcd.managed.storage.size)
                    == string(self.spec.etcd.managed.storage.size))
            || !isQuantity(string(self.spec.etcd.managed.storage.size))
            || !isQuantity(string(self.status.etcd.storageSize))
            || !quantity(string(self.spec.etcd.managed.storage.size))
                .isLessThan(quantity(string(self.status.etcd.storageSize)))""",
        message="spec.etcd.managed.storage.size must not be below the volumes that exist"
        " (status.etcd.storageSize): volumes cannot shrink",
    ),
)

_NUMBER: Final = "matches('^[0-9]{1,9}$')"

SPEC: Final = (
    Rule(
        cel="""has(self.etcd) && has(oldSelf.etcd)
            && has(self.etcd.managed) == has(oldSelf.etcd.managed)""",
        message="etcd cannot change between managed and external: the cluster's metadata is there",
    ),
    Rule(
        cel="""!has(self.etcd) || !has(oldSelf.etcd)
            || !has(self.etcd.managed) || !has(oldSelf.etcd.managed)
            || self.etcd.managed.members == oldSelf.etcd.managed.members""",
        message="etcd.managed.members cannot be changed",
    ),
    Rule(
        cel=f"""!has(self.etcd) || !has(oldSelf.etcd)
            || !has(self.etcd.managed) || !has(oldSelf.etcd.managed)
            || ({cel_unchanged("etcd.managed.storage.className")})""",
        message="etcd.managed.storage.className cannot be changed",
    ),
    Rule(
        cel=f"""!has(self.config) || !('default.replication.factor' in self.config)
            || !self.config['default.replication.factor'].{_NUMBER}
            || int(self.config['default.replication.factor'])
                <= self.pools.map(p, p.replicas).sum()""",
        message="default.replication.factor must not exceed the number of brokers (the replicas"
        " of all pools)",
    ),
)

MIN_INSYNC: Final = Rule(
    cel=f"""!('min.insync.replicas' in self) || !self['min.insync.replicas'].{_NUMBER}
        || int(self['min.insync.replicas']) <= ('default.replication.factor' in self
            ? (self['default.replication.factor'].{_NUMBER}
                ? int(self['default.replication.factor']) : 999999999)
            : 1)""",
    message="min.insync.replicas must not exceed default.replication.factor (1 where it is not"
    " set): no write with acks=all would ever succeed",
)
