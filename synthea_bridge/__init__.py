"""Synthea on a bundled Java runtime, and FHIR R4 Bundles flattened into tables."""

import os

os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
"""Arrow reads it when it is first imported. Its own allocator keeps what a shard has freed, the system's gives it back
at ``release_unused``: without it a worker grows with every shard."""
