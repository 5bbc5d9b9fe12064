"""Tell Ray when the cloud will take this machine away: `python -m grid.tune_runner.spot_watch aws --address ...`.

Runs on every worker of a cluster, asks the cloud's metadata service now and then, and has Ray drain the machine once a
notice is there: no new pack comes, and the driver tells the ones that run to save their cells and give them back.
"""

from __future__ import annotations

import argparse
import http.client
import logging
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ray._raylet import GcsClient
from ray.core.generated import autoscaler_pb2
from ray.util import get_node_ip_address

_ANSWER_TIMEOUT_S = 2.0
_TOKEN_LIFE_S = 21_600
log = logging.getLogger("finegrid.spot_watch")


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """How a cloud tells."""

    url: str
    """Of its metadata service."""
    every_s: float
    left_s: int
    """Time from a notice to the end, with something to spare."""
    has_notice: Callable[[str], bool]


def _aws_notice(url: str) -> bool:
    """The file exists only once there is a notice; asking needs a token of the second version of the service."""
    life = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_LIFE_S)}
    token = _ask(f"{url}/latest/api/token", life, method="PUT")
    if token is None:
        return False
    return _ask(f"{url}/latest/meta-data/spot/instance-action", {"X-aws-ec2-metadata-token": token}) is not None


def _gcp_notice(url: str) -> bool:
    answer = _ask(f"{url}/computeMetadata/v1/instance/preempted", {"Metadata-Flavor": "Google"})
    return answer is not None and answer.strip().upper() == "TRUE"


CLOUDS = {
    "aws": Cloud(url="http://169.254.169.254", every_s=5.0, left_s=100, has_notice=_aws_notice),
    "gcp": Cloud(url="http://metadata.google.internal", every_s=2.0, left_s=25, has_notice=_gcp_notice),
}


def _ask(url: str, headers: dict[str, str], *, method: str = "GET") -> str | None:
    """The answer; None: there is none, which on a machine that stays is the rule."""
    request = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310 - fixed http addresses
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_ANSWER_TIMEOUT_S) as answer:
            return str(answer.read(4096).decode("utf-8", errors="replace"))
    except (urllib.error.URLError, OSError, http.client.HTTPException):
        return None


def drain_this_machine(address: str, seconds: int) -> bool:
    """Have Ray drain the machine of the calling process.

    Args:
        address: HOST:PORT of the cluster's head.
        seconds: until it goes.

    Returns:
        False when no live node of the cluster has this machine's address, or the cluster refused.
    """
    client = GcsClient(address=address)
    own = get_node_ip_address(address)
    deadline_ms = int((time.time() + seconds) * 1000)
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    accepted = []
    for node_id, info in client.get_all_node_info().items():
        if info.node_manager_address == own and info.state == info.ALIVE:
            accepted.append(client.drain_node(node_id.hex(), reason, "notice of the cloud", deadline_ms)[0])
    return bool(accepted) and all(accepted)


def watch(cloud: Cloud, on_notice: Callable[[int], bool], *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Ask until there is a notice, then act until that worked.

    Args:
        cloud: where to ask.
        on_notice: called with the seconds that are left; True: done.
        sleep: waits between two questions.
    """
    while not cloud.has_notice(cloud.url):
        sleep(cloud.every_s)
    log.warning("this machine is about to be taken away")
    while not on_notice(cloud.left_s):
        sleep(1.0)


def main(arguments: Sequence[str]) -> int:
    """Watch until the machine is drained."""
    parser = argparse.ArgumentParser(prog="python -m grid.tune_runner.spot_watch")
    parser.add_argument("cloud", choices=sorted(CLOUDS))
    parser.add_argument("--address", required=True, help="HOST:PORT of the cluster's head")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    watch(CLOUDS[options.cloud], lambda seconds: _drain(options.address, seconds))
    return 0


def _drain(address: str, seconds: int) -> bool:
    try:
        done = drain_this_machine(address, seconds)
    except Exception:
        # Whatever the cluster's state: the machine has a minute left, and asking again is all that can help.
        log.exception("Ray could not be told; trying again")
        return False
    log.warning("Ray %s", "drains this machine" if done else "did not take the order; trying again")
    return done


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
