"""Write the slips that the people of a room are given: a sheet to print and cut, and a table.

    write(slips, folder)     -> Written(sheet=….html, table=….csv), readable for their owner alone

The keys are shown here and nowhere else: the data folder has only their hashes. A slip has all that
somebody types: the address and the key, and the same as the two lines of a `.env`.
"""

import contextlib
import csv
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cookbook import disk, html
from cookbook.data_folder import refuse_link
from cookbook.errors import ServiceError
from cookbook.i18n import tr
from cookbook.terminal import printable

A_PAGE = 8  # slips: two columns of four on A4

PLACEHOLDER = "room-xxxx-xxxx-xxxx-xxxx"
_OBEYED = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet would calculate


@dataclass(frozen=True)
class Slip:
    """What one person is told. The key is never in a repr."""

    name: str
    address: str
    key: str

    def __repr__(self) -> str:
        return f"Slip({self.name!r}, {self.address!r})"

    @property
    def lines(self) -> tuple[str, str]:
        """The two lines of a `.env`, or of the environment."""
        return lines(self.address, self.key)


@dataclass(frozen=True)
class Written:
    """Where the slips are: the sheet to print, and the table."""

    sheet: Path
    table: Path


def lines(address: str, key: str = PLACEHOLDER) -> tuple[str, str]:
    """Return the two lines that somebody needs."""
    return f"COOKBOOK_SERVICE={address}", f"COOKBOOK_KEY={key}"


def write(slips: Sequence[Slip], folder: Path) -> Written:
    """Write the slips into a folder, beside those of before.

    Raises:
        ServiceError: the folder cannot be written.
    """
    stem = _free_stem(folder)
    written = Written(folder / f"{stem}.html", folder / f"{stem}.csv")
    with _explained(folder):
        disk.write(written.sheet, sheet(slips).encode(), private=True)
        # Excel reads UTF-8 only with a byte-order mark.
        disk.write(written.table, table(slips).encode("utf-8-sig"), private=True)
    return written


def check(folder: Path) -> None:
    """Raise ServiceError if nothing can be written into the folder, made where it is not there."""
    refuse_link(folder)
    trial = folder / ".slips-trial"
    with _explained(folder):
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True)
        disk.write(trial, b"", private=True)
        trial.unlink()


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Say in one sentence why the folder cannot be written."""
    try:
        yield
    except OSError as error:
        name = printable(str(folder))
        reason = error.strerror or error
        raise ServiceError(
            zh=f"密钥条无法写入 {name}（{reason}）：用 --out 换一个文件夹",
            en=f"cannot write the slips into {name} ({reason}): choose another one with --out",
        ) from error


def _free_stem(folder: Path) -> str:
    """Return a name for two new files: slips of before are never overwritten."""
    stem = name = time.strftime("slips-%Y%m%d-%H%M%S")
    number = 1
    while (folder / f"{name}.html").exists() or (folder / f"{name}.csv").exists():
        number += 1
        name = f"{stem}-{number}"
    return name


# The table


def table(slips: Sequence[Slip]) -> str:
    """Return the slips as CSV."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([tr("姓名", "name"), tr("地址", "address"), tr("密钥", "key")])
    for slip in slips:
        writer.writerow([_safe(cell) for cell in (slip.name, slip.address, slip.key)])
    return out.getvalue()


def _safe(cell: str) -> str:
    """Return a cell that a spreadsheet takes for text, whatever it begins with."""
    return f"'{cell}" if cell.startswith(_OBEYED) else cell


# The sheet


def sheet(slips: Sequence[Slip]) -> str:
    """Return the slips as a page to print on A4 and cut."""
    pages = [slips[first : first + A_PAGE] for first in range(0, len(slips), A_PAGE)]
    page = html.template(_SHEET)
    return page.render(pages=pages, head=html.LOADS_NOTHING)


_SHEET = """\
<!doctype html>
<html lang="{{ page_language() }}">
<head>
<meta charset="utf-8">
{{ head | safe }}
<title>{{ tr("密钥条", "Slips") }}</title>
<style>
@page { size: A4; margin: 8mm }
* { box-sizing: border-box }
body { margin: 0 auto; width: 194mm; color: #111; font: 10pt/1.35 system-ui, "Noto Sans CJK SC",
       "PingFang SC", "Microsoft YaHei", sans-serif }
.page { display: grid; grid-template-columns: 1fr 1fr; grid-auto-rows: 70mm }
.page + .page { break-before: page }
.slip { border: 0.3mm dashed #999; margin: -0.15mm; padding: 5mm 6mm; overflow: hidden;
        break-inside: avoid }
h2 { margin: 0 0 2mm; font-size: 15pt; overflow-wrap: anywhere }
dl { margin: 0 0 2.5mm; display: grid; grid-template-columns: max-content 1fr; gap: 1mm 3mm }
dt { color: #555 }
dd, pre { margin: 0; font: 9pt/1.4 ui-monospace, "DejaVu Sans Mono", Consolas, Menlo, monospace;
          overflow-wrap: anywhere; white-space: pre-wrap }
dd.key { font-size: 11.5pt; font-weight: 600 }
pre { margin-bottom: 2.5mm; font-size: 8.5pt; border-left: 0.8mm solid #ccc; padding-left: 2.5mm }
p { margin: 0 0 1mm; color: #555; font-size: 8.5pt }
.note { margin: 4mm 0; font-size: 10pt }
@media print { .note { display: none } }
</style>
</head>
<body>
<p class="note">
{{- tr("用 A4 打印，沿虚线剪开，每人一张。打印后删掉这个文件：有密钥的人就能进课堂。",
       "Print on A4 and cut along the dashed lines, one slip a person. "
       "Delete this file afterwards: anyone with a key can enter the room.") -}}
</p>
{% for page in pages %}
<section class="page">
{% for slip in page %}
<article class="slip">
<h2>{{ slip.name }}</h2>
<dl>
<dt>{{ tr("地址", "address") }}</dt><dd>{{ slip.address }}</dd>
<dt>{{ tr("密钥", "key") }}</dt><dd class="key">{{ slip.key }}</dd>
</dl>
<p>{{ tr("把这两行写进笔记本旁边的 .env 文件：",
         "Write these two lines into a file named .env beside the notebooks:") }}</p>
<pre>{{ slip.lines | join("\\n") }}</pre>
<p>{{ tr("看自己的任务和模型：用浏览器打开上面的地址，输入密钥。",
         "To see your jobs and models, open the address in a browser and enter the key.") }}</p>
</article>
{% endfor %}
</section>
{% endfor %}
</body>
</html>
"""
