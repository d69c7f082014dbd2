"""Join a cluster as the driver of one job. Importing this loads Ray.

connect(address)        once in a process; `ClusterAway` says in a sentence what keeps it out
"""

import os
import re
import signal
import sys

import ray

from cookbook import causes
from cookbook.errors import ClusterAway
from cookbook.service.exit_codes import Exit
from cookbook.service.trainers.on_ray import cluster

NAMESPACE = "cookbook"


def connect(address: str) -> str:
    """Join the cluster at HOST:PORT or "auto", unless this process has; return its head's address.

    Raises:
        ClusterAway: it is away, or does not let this process in.
    """
    head = cluster.head_of(address)
    # Ray itself knocks for minutes.
    if fault := cluster.fault_at(head):
        raise fault
    assert head is not None
    if ray.is_initialized():
        return head
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    reacting = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=head,
            namespace=NAMESPACE,
            log_to_driver=False,
            configure_logging=False,
        )
    except Exception as error:
        raise _explained(head, error) from error
    except SystemExit as error:
        # Ray's own reaction to SIGTERM ends with the signal's number, which looks like a crash.
        if error.code == signal.SIGTERM:
            raise SystemExit(Exit.STOPPED) from error
        raise
    finally:
        # Ray puts its own there, which saves nothing.
        signal.signal(signal.SIGTERM, reacting)
    return head


def _explained(head: str, error: Exception) -> ClusterAway:
    # What is wrong may be in what the error was raised from.
    text = "\n".join(str(one).strip() for one in causes.chain(error))
    if "Version mismatch" in text:
        return _other_version(head, text)
    if "No node info found" in text or "Can't find a" in text:
        return ClusterAway(
            zh=f"这台机器不在 Ray 集群 {head} 里：先运行 "
            f"ray start --address={head} --num-cpus=0 加入（不出算力，只做调度）",
            en=f"this machine is not part of the Ray cluster at {head}: join it with "
            f"ray start --address={head} --num-cpus=0, which offers no CPUs of its own",
        )
    # A wrong token looks like no answer at all.
    if isinstance(error, ray.exceptions.AuthenticationError | ConnectionError):
        return ClusterAway(
            zh=f"Ray 集群 {head} 不让这里加入：多半是 token 不对或没有设。设 RAY_AUTH_MODE=token，"
            "把集群的 token 写进 RAY_AUTH_TOKEN（或用 RAY_AUTH_TOKEN_PATH 指向它的文件），"
            "再重启服务；也核对这个端口是不是 head 的（默认 6379，不是网页的 8265）",
            en=f"the Ray cluster at {head} does not let this machine in, most likely since its "
            "token is wrong or missing: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or "
            "RAY_AUTH_TOKEN_PATH, the token's file) and restart the service. Check also that "
            "the port is the head's, usually 6379, not that of the dashboard, 8265",
        )
    reason = text.split("\n")[0] or type(error).__name__
    return ClusterAway(
        zh=f"加入不了 Ray 集群 {head}：{reason:.300}",
        en=f"cannot join the Ray cluster at {head}: {reason:.300}",
    )


def _other_version(head: str, text: str) -> ClusterAway:
    """Return the error for versions that Ray has compared: those of the cluster come first."""
    rays = re.findall(r"Ray: (\S+)", text)
    pythons = re.findall(r"Python: (\S+)", text)
    there = f"Ray {rays[0]}, Python {pythons[0]}" if rays and pythons else "?"
    here = f"Ray {ray.__version__}, Python {'.'.join(map(str, sys.version_info[:3]))}"
    return ClusterAway(
        zh=f"Ray 集群 {head} 的版本不同：那边是 {there}，这里是 {here}。两边装同样的版本",
        en=f"the Ray cluster at {head} has other versions: {there} there, {here} here. "
        "Install the same on both",
    )
