"""External state: instances mirrored through an adapter into a storage of the user's choice."""

from perdure.dialects.bptk.external_state.adapter import ExternalStateAdapter, InstanceState, check_adapter
from perdure.dialects.bptk.external_state.file_adapter import FileAdapter
from perdure.dialects.bptk.external_state.mirror import Mirror
from perdure.dialects.bptk.external_state.postgres_adapter import PostgresAdapter
from perdure.dialects.bptk.external_state.redis_adapter import RedisAdapter

__all__ = [
    "ExternalStateAdapter",
    "FileAdapter",
    "InstanceState",
    "Mirror",
    "PostgresAdapter",
    "RedisAdapter",
    "check_adapter",
]
