"""Compare what is installed on a node with what the service has."""

from cookbook.errors import ClusterAway
from cookbook.service.trainers.on_ray.actor import Actor

COOKBOOK = "siliconcloud-cookbook"
PACKAGES = [COOKBOOK, "torch", "transformers", "peft"]
"""What a training's result depends on, and the language that service and node speak."""


def fault(node: str, there: dict[str, str]) -> ClusterAway | None:
    """Return what is different on a node, and what to install there; None where nothing is."""
    here = of_service()
    different = {name: here[name] for name in here if here[name] != _public(there[name])}
    if not different:
        return None
    zh, en = [], []
    for name, version in different.items():
        found = _public(there[name])
        zh.append(
            f"{name} {found}（这里是 {version}）" if found else f"没有 {name}（这里是 {version}）"
        )
        en.append(f"{name} {found} ({version} here)" if found else f"no {name} ({version} here)")
    helps_zh, helps_en = _remedy(different)
    return ClusterAway(
        zh=f"节点 {node} 装的版本和服务不同：{'、'.join(zh)}。在那台机器上{helps_zh}，再重启 Ray",
        en=f"node {node} has other versions than the service: {', '.join(en)}. To fix it, "
        f"{helps_en} there, then restart Ray",
    )


def _remedy(different: dict[str, str]) -> tuple[str, str]:
    """Return what to do about packages and Python of these versions, zh and en."""
    zh, en = [], []
    if "python" in different:
        zh.append("换成同样的 Python")
        en.append("install the same Python")
    if COOKBOOK in different:
        # From no index: it is installed from a checkout or a wheel.
        zh.append("从同一版本的源码或安装包装 cookbook")
        en.append("install the cookbook from a checkout or wheel of the same version")
    others = {name: different[name] for name in different if name not in ("python", COOKBOOK)}
    if others:
        packages = " ".join(f"'{name}=={version}'" for name, version in others.items())
        command = f"pip install {packages}"
        zh.append(f"运行 {command}")
        en.append(f"run {command}")
    return "，".join(zh), " and ".join(en)


def of_service() -> dict[str, str]:
    """Return the versions that a node must have: of what is installed here."""
    # Ray itself compares Python to the last digit.
    found = Actor.versions(PACKAGES)
    return {name: _public(version) for name, version in found.items() if version}


def _public(version: str) -> str:
    """Return a version without its build: a node with a GPU has another build of torch."""
    return version.partition("+")[0]
