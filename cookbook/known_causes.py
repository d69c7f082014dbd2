"""The causes that `causes.py` recognizes: lines, error numbers, signals, each with its remedy.

Only sentences and patterns are here, no reading. Every pattern is searched in one line of at most
some hundred letters. A remedy changes what is wrong and nothing else: `pip install` is named only
where a package is missing or broken.
"""

import errno
from dataclasses import dataclass

from cookbook.i18n import tr


@dataclass(frozen=True)
class Cause:
    """Why something failed; its text is the sentence in the reader's language.

    Attributes:
        kind: a short name for programs, such as "missing_package".
        passes: whether the same attempt may succeed later with the same program and packages, as
            when memory or room becomes free. True for what is not recognized.
    """

    kind: str
    zh: str
    en: str
    passes: bool = False

    def __str__(self) -> str:
        return tr(self.zh, self.en)


@dataclass(frozen=True)
class Rule:
    """A line that tells the cause. `{0}` in a sentence is what the pattern's group found.

    `anything` is said in its place where nothing was found, zh and en.
    """

    kind: str
    pattern: str
    zh: str
    en: str
    passes: bool = False
    anything: tuple[str, str] = ("", "")

    def cause(self, found: str = "") -> Cause:
        zh, en = self.anything
        return Cause(
            self.kind, self.zh.format(found or zh), self.en.format(found or en), self.passes
        )


_LOCAL_DISK_ZH = "把 COOKBOOK_HOME 设成本机硬盘上的目录，再运行 connect()"
_LOCAL_DISK_EN = "set COOKBOOK_HOME to a folder on a local disk, then run connect() again"
_REINSTALL = "pip install --force-reinstall torch"
_CPU_TORCH = f"{_REINSTALL} --index-url https://download.pytorch.org/whl/cpu"
_VISUAL_C = "https://aka.ms/vs/17/release/vc_redist.x64.exe"

# The disk

DISK_FULL = Rule(
    "disk_full",
    r"No space left on device|database or disk is full|WinError 112\b|os error 28\b|Errno 28\b",
    "磁盘满了：腾出空间再试",
    "the disk is full: make room and try again",
    passes=True,
)
QUOTA = Rule(
    "disk_quota",
    r"[Qq]uota exceeded|Errno 122\b|os error 122\b|File too large",
    "磁盘配额用完了：删掉一些文件，或用 COOKBOOK_HOME 换一个目录",
    "the disk quota is used up: delete some files, or choose another folder with COOKBOOK_HOME",
    passes=True,
)
READ_ONLY = Rule(
    "read_only",
    r"Read-only file system|attempt to write a readonly database|unable to open database file",
    "数据目录不能写：用 COOKBOOK_HOME 换一个可写的目录",
    "the data folder cannot be written: choose another one with COOKBOOK_HOME",
    passes=True,
)
PERMISSION = Rule(
    "permission",
    r"(?:PermissionError|Permission denied|WinError 5\b).*?(?:'([^']+)')?$",
    "没有权限读写{0}：改它的权限，或用 COOKBOOK_HOME 换一个目录",
    "no permission to read or write {0}: change it, or choose another folder with COOKBOOK_HOME",
    anything=("数据目录或模型里的文件", "a file of the data folder or of a model"),
    passes=True,
)
DISK_ERROR = Rule(
    "disk_error",
    r"Input/output error|Errno 5\b|disk I/O error|WinError 1117\b|WinError 23\b",
    f"硬盘读写出错，可能是硬盘坏了，也可能是网络盘断了：{_LOCAL_DISK_ZH}",
    f"the disk cannot be read or written, it may be failing or a network drive gone: "
    f"{_LOCAL_DISK_EN}",
    passes=True,
)
# NFS, GPFS, Lustre, some shared folders of virtual machines.
LOCKS = Rule(
    "locks",
    r"locking protocol|No locks available|does not appear to support flock|Stale file handle"
    r"|Errno 37\b|Errno 95\b|Errno 116\b",
    f"数据目录所在的文件系统不支持文件锁，多半是网络盘：{_LOCAL_DISK_ZH}",
    "the data folder's file system does not support file locks, most likely a network drive: "
    f"{_LOCAL_DISK_EN}",
    passes=True,
)
DATABASE_BUSY = Rule(
    "database_busy",
    r"database (?:table )?is locked",
    "数据库一直被别的程序占着：关掉打开 service.db 的程序（备份、同步、数据库工具）；"
    f"如果数据目录在网络盘上，{_LOCAL_DISK_ZH}",
    "another program holds the database: close what has service.db open (backup, sync, database "
    f"tools); if the data folder is on a network drive, {_LOCAL_DISK_EN}",
    passes=True,
)
DATABASE_DAMAGED = Rule(
    "database_damaged",
    r"database disk image is malformed|file is not a database",
    "数据库 service.db 损坏了：用备份换回它，或用 COOKBOOK_HOME 换一个目录",
    "the database service.db is damaged: put a backup in its place, or choose another folder "
    "with COOKBOOK_HOME",
)

# What the machine has too little of

MEMORY = Rule(
    "memory",
    r"MemoryError|DefaultCPUAllocator|not enough memory: you tried|out of memory|OutOfMemoryError"
    r"|an't allocate memory|annot allocate memory|bad_alloc|WinError 1455\b|WinError 8\b"
    r"|Errno 12\b|CU(?:BLAS|DNN|SOLVER)_STATUS_ALLOC_FAILED|cudaErrorMemoryAllocation",
    "内存不够：关掉别的程序，或换小一些的模型、batch_size、max_tokens",
    "not enough memory: close other programs, or use a smaller model, batch_size or max_tokens",
    passes=True,
)
OPEN_FILES = Rule(
    "open_files",
    r"Too many open files|Errno 2[34]\b",
    "打开的文件太多：用 ulimit -n 4096 调高上限，再运行 python -m cookbook stop 和 connect()",
    "too many open files: raise the limit with ulimit -n 4096, then run python -m cookbook stop "
    "and connect() again",
    passes=True,
)
THREADS = Rule(
    "threads",
    r"can't start new thread|Thread creation failed|BlockingIOError.*Resource temporarily"
    r"|fork.*Resource temporarily",
    "系统不允许再创建线程或进程：关掉别的程序，或设 OMP_NUM_THREADS=1",
    "the system allows no more threads or processes: close other programs, "
    "or set OMP_NUM_THREADS=1",
    passes=True,
)
PORT = Rule(
    "port",
    r"Address already in use|WinError 10048\b",
    "端口被别的程序占用：换一个 --port，或省略它",
    "another program uses the port: choose another --port, or leave it out",
)

# Packages that are there and cannot be loaded

OLD_SYSTEM = Rule(
    "old_system",
    r"(GLIBC(?:XX)?_[\d.]+|CXXABI_[\d.]+)['’`]? not found",
    "系统的 C/C++ 库太旧（没有 {0}），已安装的包无法加载：换新一些的系统、conda 环境或容器",
    "this system's C or C++ library is too old (no {0}) for an installed package: "
    "use a newer system, a conda environment or a container",
)
# Windows names the DLL that was asked for, not the one that it lacks.
VISUAL_C = Rule(
    "visual_c",
    r"vc_redist|VCRUNTIME|MSVCP|WinError (?:126|1114)\b|DLL load failed",
    f"有 DLL 加载不了，多半缺 Visual C++ 运行库：安装 {_VISUAL_C}，再重启内核",
    "a DLL cannot be loaded, most likely the Visual C++ runtime is missing: install "
    f"{_VISUAL_C}, then restart the kernel",
)
NUMPY = Rule(
    "numpy",
    r"numpy\.dtype size changed|compiled using NumPy 1\.x|multiarray failed to import"
    r"|_ARRAY_API not found|Numpy is not available|compiled against (?:ABI|API) version",
    "numpy 和依赖它的包版本不配套：运行 pip install --upgrade numpy pandas scipy，再重启内核",
    "numpy does not fit the packages built on it: run "
    "pip install --upgrade numpy pandas scipy, then restart the kernel",
)
# Training and chat work on the CPU as well.
GPU = Rule(
    "gpu",
    r"CUDA driver version is insufficient|no kernel image is available|CUDA error"
    r"|CUDA-capable device|CUDA initialization",
    "显卡用不了：更新显卡驱动，或设 CUDA_VISIBLE_DEVICES=-1 改用 CPU",
    "the GPU cannot be used: update its driver, or set CUDA_VISIBLE_DEVICES=-1 for the CPU",
)
TORCH_LIBRARY = Rule(
    "broken_package",
    r"(lib(?:cu|nv|nccl|torch|c10)[\w.-]*): cannot open shared object file",
    f"torch 已安装但无法加载（缺少 {{0}}）：重新安装，没有显卡就运行 {_CPU_TORCH}",
    f"torch is installed but cannot be loaded (no {{0}}): reinstall it, without a GPU by "
    f"{_CPU_TORCH}",
)
SYSTEM_LIBRARY = Rule(
    "system_library",
    r"(lib[\w.+-]+): cannot open shared object file",
    "系统没有 {0}：用系统的包管理器安装它",
    "this system has no {0}: install it with the system's package manager",
)
MAPPING = Rule(
    "memory_limit",
    r"failed to map segment from shared object",
    "一个库放不进内存：多半是内存上限（ulimit -v、容器或作业的限制）太低，"
    "或所在的盘不许执行（noexec）：放宽上限，或把环境装到别的盘上",
    "a library cannot be mapped into memory: most likely a limit (ulimit -v, that of a container "
    "or job) is too low, or its disk is mounted noexec. Raise the limit, or install the "
    "environment on another disk",
)
# The last resort of what a loader of libraries says, so it comes after the others.
BROKEN = Rule(
    "broken_package",
    r"undefined symbol|invalid ELF header|file too short|Library not loaded|WinError (?:127|193)\b"
    r"|incompatible architecture|wrong architecture|Error loading \".*torch"
    r"|static TLS block|libtorch",
    f"有个包损坏了，或不适合这台机器，无法加载：多半是 torch，运行 {_REINSTALL}",
    "a package is broken or not for this machine and cannot be loaded: most likely torch, "
    f"so run {_REINSTALL}",
)
TOO_OLD = Rule(
    "old_package",
    r"([\w.-]+[<>=!~][\w.,<>=!~ ]*) is required for a normal functioning"
    r"|((?:PyTorch|torch) >= ?[\d.]+) is required",
    "包的版本不符合要求（需要 {0}）：用 pip install --upgrade 装合适的版本",
    "a package has the wrong version ({0} is required): install a fitting one with "
    "pip install --upgrade",
)
NAMES_CLASH = Rule(
    "broken_package",
    r"cannot import name '[^']+' from (?:partially initialized module )?'(\w+)",
    "导入 {0} 出错：它的版本与别的包不兼容，或当前目录里有同名的 .py 文件。"
    "改掉那个文件名，或运行 pip install --upgrade {0}",
    "importing {0} fails: its version does not fit other packages, or a .py file of that name is "
    "in the current folder. Rename that file, or run pip install --upgrade {0}",
)
# Python says so itself where a reader's own torch.py is found first.
HIDDEN = Rule(
    "hidden_module",
    r"partially initialized module '(\w+)'|has the same name as the (?:standard library )?module",
    "当前目录里有个 .py 文件与要导入的模块同名（{0}）：给它改名",
    "a .py file in the current folder has the name of a module that is imported ({0}): rename it",
    anything=("见日志", "see the log"),
)
NO_SQLITE = Rule(
    "python",
    r"No module named '?(_sqlite3|_ctypes|_ssl|_bz2|_lzma)\b",
    "这个 Python 编译时没有带 {0}：换一个完整的 Python（python.org 或 conda）",
    "this Python was built without {0}: use a complete one (python.org or conda)",
)

# The base model

HUB = Rule(
    "hub",
    r"couldn't connect to|Max retries exceeded|LocalEntryNotFoundError|OfflineModeIsEnabled",
    "连不上模型 hub：检查网络，用 HF_ENDPOINT 设镜像，或把 COOKBOOK_BASE_MODEL 设成本地文件夹",
    "the model hub is out of reach: check the network, set HF_ENDPOINT to a mirror, or set "
    "COOKBOOK_BASE_MODEL to a local folder",
    passes=True,
)
NO_BASE = Rule(
    "no_base",
    r"is not a valid model identifier|RepositoryNotFoundError|GatedRepoError"
    r"|does not appear to have a file named|Can't load tokenizer for",
    "找不到基础模型：检查 COOKBOOK_BASE_MODEL（文件夹或 hub 上的名字）",
    "there is no such base model: check COOKBOOK_BASE_MODEL (a folder or a name on the hub)",
    passes=True,
)
BROKEN_BASE = Rule(
    "broken_base",
    r"SafetensorError|deserializing header|HeaderTooLarge|MetadataIncompleteBuffer",
    "模型的权重文件损坏或没有下载完：重新下载",
    "a model's weights are damaged or were not downloaded completely: download them again",
)

# Earlier rules are more exact than later ones.
RULES = (
    DISK_FULL,
    QUOTA,
    READ_ONLY,
    LOCKS,
    DATABASE_BUSY,
    DATABASE_DAMAGED,
    DISK_ERROR,
    OPEN_FILES,
    THREADS,
    PORT,
    OLD_SYSTEM,
    NUMPY,
    VISUAL_C,
    TORCH_LIBRARY,
    SYSTEM_LIBRARY,
    MAPPING,
    MEMORY,
    GPU,
    TOO_OLD,
    HIDDEN,
    NAMES_CLASH,
    NO_SQLITE,
    HUB,
    NO_BASE,
    BROKEN_BASE,
    BROKEN,
    PERMISSION,
)

# Windows has not all of them.
_NUMBERS = {
    "ENOMEM": MEMORY,
    "ENOSPC": DISK_FULL,
    "EFBIG": QUOTA,
    "EDQUOT": QUOTA,
    "EROFS": READ_ONLY,
    "EIO": DISK_ERROR,
    "EACCES": PERMISSION,
    "EPERM": PERMISSION,
    "ENOLCK": LOCKS,
    "ESTALE": LOCKS,
    "EOPNOTSUPP": LOCKS,
    "EMFILE": OPEN_FILES,
    "ENFILE": OPEN_FILES,
    "EADDRINUSE": PORT,
}
BY_NUMBER = {getattr(errno, name): rule for name, rule in _NUMBERS.items() if hasattr(errno, name)}

# Ends by a signal, or by what Windows has in its place

KILLED = Cause(
    "memory",
    "进程被系统结束，多半是内存不够：关掉别的程序，或换小一些的模型、batch_size、max_tokens",
    "the system ended the process, most likely for lack of memory: close other programs, "
    "or use a smaller model, batch_size or max_tokens",
    passes=True,
)
OLD_PROCESSOR = Cause(
    "old_processor",
    "这台机器的处理器不支持 torch 需要的指令（如 AVX）：换一台机器，或装为它编译的 torch",
    "this machine's processor lacks instructions that torch needs (such as AVX): "
    "use another machine, or a torch built for it",
)
CRASHED = Cause(
    "crashed",
    f"进程崩溃了（段错误），多半是某个包损坏了：若再次出现，运行 {_REINSTALL}",
    "the process crashed (segmentation fault), most likely because of a broken package: "
    f"if it happens again, run {_REINSTALL}",
    passes=True,
)
BUS_ERROR = Cause(
    "disk_error",
    "进程读写映射的文件时出错（SIGBUS）：多半是磁盘或 /dev/shm 满了，或文件被截断",
    "the process could not reach a mapped file (SIGBUS): most likely the disk or /dev/shm is "
    "full, or the file was cut short",
    passes=True,
)
ENDED = Cause(
    "ended", "进程被人或系统结束", "somebody or the system ended the process", passes=True
)
ABORTED = Cause("aborted", "进程自己中止了", "the process aborted itself", passes=True)
TOO_LARGE = Cause("disk_quota", QUOTA.zh, QUOTA.en, passes=True)

BY_SIGNAL = {
    1: ENDED,
    2: ENDED,
    4: OLD_PROCESSOR,
    6: ABORTED,
    7: BUS_ERROR,
    9: KILLED,
    11: CRASHED,
    15: ENDED,
    25: TOO_LARGE,
}
BY_WINDOWS_CODE = {
    0xC0000005: CRASHED,
    0xC000001D: OLD_PROCESSOR,
    0xC0000017: KILLED,
    0xC0000135: VISUAL_C.cause(),
    0xC000013A: ENDED,
    0xC0000409: ABORTED,
}
