"""How many processors there are for us."""

from __future__ import annotations


def cores() -> int:
    """Processors that this process may use: a container or a job of a cluster often has fewer than its machine."""
    import joblib  # a quarter of a second, which only who asks has to wait

    return int(joblib.cpu_count())
