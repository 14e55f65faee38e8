"""etcd as the metadata store: the only importer of gRPC."""

import os

# Children of a broker are other programs: gRPC's preparations for a fork are of no use to them, are
# told of on stderr at each, and ended 4 of 150 children before they began (grpcio 1.85.1, tried).
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
