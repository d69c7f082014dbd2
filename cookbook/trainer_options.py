"""Declare `--trainer` and the options beside it: where jobs are trained.

add(command)        declare them, for `python -m cookbook serve` and `room`
of(args)            what a command line, or else the environment, says
"""

import argparse
import os
from collections.abc import Iterable

from cookbook.errors import ArgumentError
from cookbook.i18n import tr
from cookbook.service.trainers.settings import HERE, TrainerSettings

MAX_JOBS_HERE = 16  # each takes a part of this machine's memory and cores


def add(command: argparse.ArgumentParser) -> None:
    """Add the options, which `of` reads."""
    trainer = command.add_argument_group(
        tr("训练在哪里进行", "where jobs are trained"),
        tr("见 docs/cluster.zh-CN.md", "see docs/cluster.md"),
    )
    trainer.add_argument(
        "--trainer",
        choices=("local", "ray"),
        help=tr(
            "local：这台机器；ray：Ray 集群（默认 COOKBOOK_TRAINER 或 local）",
            "local: this machine; ray: a Ray cluster (default: COOKBOOK_TRAINER or local)",
        ),
    )
    trainer.add_argument(
        "--ray-address",
        metavar="HOST:PORT|auto|local",
        help=tr(
            "集群 head 的地址；auto：本机已加入的集群；local：服务自己启动一个"
            "（默认 COOKBOOK_RAY_ADDRESS 或 auto）",
            "address of the cluster's head; auto: the cluster that this machine has joined; "
            "local: the service starts one (default: COOKBOOK_RAY_ADDRESS or auto)",
        ),
    )
    trainer.add_argument(
        "--workers",
        metavar="N",
        help=tr(
            "一个任务最多用几个 worker 一起训练（默认 COOKBOOK_WORKERS 或 1）；"
            "一个设备放不下的模型按需要用更多个",
            "workers that train one job together, at most (default: COOKBOOK_WORKERS or 1); "
            "a base that does not fit into one takes as many as it needs",
        ),
    )
    trainer.add_argument(
        "--worker-cpus",
        metavar="N",
        help=tr(
            "每个 worker 占几个 CPU（默认 COOKBOOK_WORKER_CPUS，没有设时自动选）",
            "CPUs that each worker asks for (default: COOKBOOK_WORKER_CPUS, else chosen)",
        ),
    )
    trainer.add_argument(
        "--storage",
        metavar="DIR",
        help=tr(
            "服务和所有节点用同一路径看到的共享文件夹（默认 COOKBOOK_STORAGE；可以没有）",
            "a shared folder that the service and all nodes see under the same path (default: "
            "COOKBOOK_STORAGE; not needed)",
        ),
    )


def of(args: argparse.Namespace) -> TrainerSettings:
    """Return where jobs are trained, by a command line or else by the environment.

    Raises:
        ArgumentError: a value is wrong, or --jobs is more than this machine trains.
    """
    given = {
        "COOKBOOK_TRAINER": args.trainer,
        "COOKBOOK_RAY_ADDRESS": args.ray_address,
        "COOKBOOK_WORKERS": args.workers,
        "COOKBOOK_WORKER_CPUS": args.worker_cpus,
        "COOKBOOK_STORAGE": args.storage,
    }
    typed = {name: value for name, value in given.items() if value is not None}
    try:
        settings = TrainerSettings.of_environment({**os.environ, **typed})
    except ArgumentError as error:
        raise _as_typed(error, typed) from None
    if settings.name == HERE and (args.jobs or 1) > MAX_JOBS_HERE:
        raise ArgumentError(
            zh=f"--jobs {args.jobs}：这台机器上最多同时训练 {MAX_JOBS_HERE} 个",
            en=f"--jobs {args.jobs}: this machine trains at most {MAX_JOBS_HERE} at the same time",
        )
    return settings


def _as_typed(error: ArgumentError, typed: Iterable[str]) -> ArgumentError:
    """Return the error with the options that were typed in place of their variables."""
    zh, en = error.zh, error.en
    for name in typed:
        option = "--" + name.removeprefix("COOKBOOK_").lower().replace("_", "-")
        zh, en = zh.replace(f"{name}=", f"{option} "), en.replace(f"{name}=", f"{option} ")
    return ArgumentError(zh=zh, en=en)
