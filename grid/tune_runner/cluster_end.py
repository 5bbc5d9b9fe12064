"""What ends a cluster that `ray up` started, in words: nobody else will do it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FILES = {"aws": "cluster.yaml", "gcp": "clusters/gcp.yaml", "local": "clusters/onprem.yaml"}
"""The cluster files that come with FineGrid, by Ray's name of the provider."""


def how_to_end(cluster: Mapping[str, Any]) -> str:
    """The last line of a run on a cluster.

    Args:
        cluster: what `ray up` left on the head: its cluster file.

    Returns:
        the command, and where to give it.
    """
    provider = cluster.get("provider") or {}
    provider_type = str(provider.get("type", ""))
    cost = "keeps your machines busy" if provider_type == "local" else "costs money"
    name, file = cluster.get("cluster_name", ""), FILES.get(provider_type, "and the file it was started with")
    return f"The cluster {name} is still up and {cost}. When you are through, where you started it: ray down -y {file}"
