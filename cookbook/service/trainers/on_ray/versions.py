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
    packages = [f"'{name}=={version}'" for name, version in different.items() if name != "python"]
    command = f"pip install {' '.join(packages)}"
    helps_zh = f"在那台机器上运行 {command}，再重启 Ray" if packages else "换成同样的 Python"
    helps_en = f"run {command} there and restart Ray" if packages else "install the same Python"
    return ClusterAway(
        zh=f"节点 {node} 装的版本和服务不同：{'、'.join(zh)}。{helps_zh}",
        en=f"node {node} has other versions than the service: {', '.join(en)}. To fix it, "
        f"{helps_en}",
    )


def of_service() -> dict[str, str]:
    """Return the versions that a node must have: of what is installed here."""
    # Ray itself compares Python to the last digit.
    found = Actor.versions(PACKAGES)
    return {name: _public(version) for name, version in found.items() if version}


def _public(version: str) -> str:
    """Return a version without its build: a node with a GPU has another build of torch."""
    return version.partition("+")[0]
