"""Choose which environment variables a process of the service gets.

    needed(os.environ)      what of it the service, its training processes and its checks need
    of_service(), of_worker()       the same; the process finds this very package, writes UTF-8, and
                                    speaks the language of this one

An allow list, since nobody can list every name that holds a secret: what is not known to be needed
is not passed on. Whatever is called a key, token, secret, password or credential is left out even
so. A hub's token, and a proxy, whose address may hold a password, are passed on only where the base
comes from a hub.
"""

import os
import re
import site
import sys
from collections.abc import Mapping
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The system; Windows; where Python and libraries are found; certificates.
_NAMES = _words("""
    PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TMPDIR TEMP TMP
    USERPROFILE USERNAME SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT APPDATA LOCALAPPDATA
    PROGRAMDATA PROGRAMFILES HOMEDRIVE HOMEPATH OS NUMBER_OF_PROCESSORS PROCESSOR_ARCHITECTURE
    VIRTUAL_ENV LD_LIBRARY_PATH LD_PRELOAD XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
    XDG_RUNTIME_DIR SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
    TOKENIZERS_PARALLELISM USE_TORCH
    """)
# Settings of Python, of torch and of what computes for it; the cookbook's own.
_PREFIXES = tuple(
    _words("""
    LC_ CONDA_ PYTHON DYLD_ COOKBOOK_ TORCH PYTORCH_ CUDA_ CUBLAS_ CUDNN_ NVIDIA_ NCCL_ HIP_ HSA_
    ROCR_ ROCM_ AMD_ MIOPEN_ MPS_ OMP_ GOMP_ KMP_ MKL_ OPENBLAS_ BLIS_ VECLIB_ NUMEXPR_ ATEN_
    DNNL_ ONEDNN_ MALLOC_ TRITON_ HF_ TRANSFORMERS_ SAFETENSORS_ PEFT_ ACCELERATE_ MODELSCOPE_
    RAY_ GLOO_
    """)
)
_HUB_NAMES = _words("""
    HF_TOKEN HUGGING_FACE_HUB_TOKEN MODELSCOPE_API_TOKEN HF_ENDPOINT
    HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
    """)
# Where a name is a secret's by its sound. PYTHONSTARTUP is for a person at a keyboard.
_SECRET = re.compile(r"TOKEN(?!IZERS)|SECRET|PASSW|PASSPHRASE|CREDENTIAL|KEY|_PAT$|PYTHONSTARTUP")
# Where this reader's requests go, which is no matter of a service on this machine.
_OWN = _words("COOKBOOK_SERVICE")
# Without docstrings, which it takes away, transformers cannot be imported.
_HARMFUL = "PYTHONOPTIMIZE"
_URL_WITH_PASSWORD = re.compile(r"://[^/\s:@]*:[^/\s@]*@")


# On Windows, Python writes in the system's code page otherwise.
_READABLE_OUTPUT = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:backslashreplace"}


def value_of(name: str, environment: Mapping[str, str]) -> str:
    """Return a setting as it was meant; "" where it is not set.

    `set NAME="value"` on Windows, and some .env files, leave the quotes in it.
    """
    text = environment.get(name, "").strip()
    for quote in "\"'":
        if len(text) > 1 and text[0] == text[-1] == quote:
            return text[1:-1].strip()
    return text


def needed(environment: Mapping[str, str], *, keep: tuple[str, ...] = ()) -> dict[str, str]:
    """Return what a process needs of `environment`; the names in `keep` are needed in any case."""
    base = value_of("COOKBOOK_BASE_MODEL", environment)
    from_hub = base != "" and not os.path.isdir(os.path.expanduser(base))
    chosen = {}
    for name, value in environment.items():
        # Windows knows no case, and proxies are mostly written in small letters.
        upper = name.upper()
        known = upper in _NAMES or upper.startswith(_PREFIXES)
        known = known and upper != _HARMFUL and upper not in _OWN
        secret = _SECRET.search(upper) or _URL_WITH_PASSWORD.search(value)
        of_hub = from_hub and upper in _HUB_NAMES
        if name in keep or of_hub or (known and not secret):
            chosen[name] = value
    # Our own without what surrounds them; one that is empty is not set.
    own = [name for name in chosen if name.startswith("COOKBOOK_")]
    for name in own:
        chosen[name] = value_of(name, environment)
        if not chosen[name]:
            del chosen[name]
    return chosen


def of_service() -> dict[str, str]:
    """Return what the embedded service needs of this process's environment."""
    # The key that a reader chose for the service itself, if any.
    own = ("COOKBOOK_API_KEY", *_of_cluster())
    # An engine's address may hold a password.
    if value_of("COOKBOOK_ENGINE", os.environ):
        own += ("COOKBOOK_ENGINE", "COOKBOOK_ENGINE_KEY")
    chosen = needed(os.environ, keep=own)
    return chosen | _shared()


def of_worker() -> dict[str, str]:
    """Return what training, or a check, needs of this process's environment."""
    return needed(os.environ, keep=_of_cluster()) | _shared()


def _shared() -> dict[str, str]:
    """Return what both get whether it is in this process's environment or not."""
    from cookbook import i18n  # which needs this module

    # A notebook may have declared it, or the reader of an upload's report.
    language = {i18n.VARIABLE: i18n.language()}
    return language | _allocator() | _modules() | _READABLE_OUTPUT


def _of_cluster() -> tuple[str, ...]:
    """Return the names of what opens a Ray cluster, where jobs are trained on one."""
    on_ray = value_of("COOKBOOK_TRAINER", os.environ) == "ray"
    return ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH") if on_ray else ()


def _allocator() -> dict[str, str]:
    """Let torch's blocks of GPU memory grow: rows of many lengths leave gaps between fixed ones."""
    # A reader's own choice comes first, by the older name too. Only Linux has it.
    own = {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"} & os.environ.keys()
    if own or sys.platform != "linux":
        return {}
    return {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}


def _modules() -> dict[str, str]:
    """Have a process find this package, and no file that only lies in the current folder.

    There a reader's `torch.py` or `random.py` would be taken for the library; and a notebook may
    have found the package by a line such as `sys.path.append("..")`, of which a process is not
    told.
    """
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    # An empty entry is the current folder.
    folders = [os.path.abspath(folder) for folder in given if folder]
    package = str(_PACKAGE.parent)
    if package not in [*folders, *_installed()]:
        folders.append(package)
    safe = {"PYTHONSAFEPATH": "1"}
    return safe | {"PYTHONPATH": os.pathsep.join(folders)} if folders else safe


def _installed() -> list[str]:
    """Return where packages are installed: put first, these would hide the standard library."""
    return [*site.getsitepackages(), site.getusersitepackages()]
