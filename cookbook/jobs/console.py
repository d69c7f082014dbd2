"""Show what to type into SiliconCloud's console: no public route creates jobs there.

    jobs.console_sheet("zhishuo", path, hp)      the form, field by field, each with a copy button

Addresses and labels come from `cookbook.siliconcloud`. Nothing is sent anywhere. The identifier
that the console gives back is handled in `cookbook.jobs.identifier`.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from cookbook import html, siliconcloud
from cookbook.jobs import upload_copy
from cookbook.params import VALIDATION, Hyperparameters
from cookbook.terminal import printable

# Selects the value beside the button and copies it. Unlike the clipboard API, this older command
# needs no HTTPS.
_COPY = (
    "const s=getSelection(),v=this.closest('tr').querySelector('code');s.selectAllChildren(v);"
    "document.execCommand('copy');s.removeAllRanges();this.textContent='✓'"
)

_TEMPLATE = """
<p>{{ tr("打开", "Open") }}
<a href="{{ console }}" target="_blank" rel="noopener">{{ console }}</a>
{{- tr("，逐栏填写：", " and fill in:") }}</p>
<table><tbody>
{% for name, value in fields.items() %}
<tr>
<td style="text-align:left">{{ label(name) }}</td>
<td style="text-align:left"><code>{{ paths[name] or value }}</code></td>
<td style="text-align:left">
{% if name in links %}
<a href="{{ links[name] }}" download="{{ value }}" target="_blank"
 title="{{ tr("下载后上传", "download, then upload") }}">{{ tr("文件", "file") }}</a>
{% else %}
<button class="cookbook-copy" onclick="{{ copy }}">{{ tr("复制", "copy") }}</button>
{% endif %}
</td>
</tr>
{% endfor %}
</tbody></table>
"""


@dataclass(frozen=True)
class ConsoleSheet:
    """The console's form, field by field and in the form's order.

    In Jupyter each value has a button that copies it, once the reader has run the cell: Jupyter
    runs no scripts of a notebook that was only opened, and there the values are selected with the
    mouse.

    Attributes:
        fields: what to type, by the form's label.
        files: of the fields that name a file, those that exist on this machine.
        links: of these, the addresses that a page of Jupyter opens, relative to the notebook.
    """

    fields: dict[str, str]
    files: dict[str, Path] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        labelled = ((siliconcloud.form_label(name), value) for name, value in self.fields.items())
        lines = [f"{label}: {value}" for label, value in labelled]
        return printable("\n".join(lines))

    def _repr_html_(self) -> str:
        # A file without a link is found by its path, which a file dialog takes.
        paths = {}
        for name in self.fields:
            paths[name] = ""
            if name in self.files and name not in self.links:
                paths[name] = str(self.files[name].absolute())
        return html.template(_TEMPLATE).render(
            console=siliconcloud.CONSOLE,
            label=siliconcloud.form_label,
            fields=self.fields,
            links=self.links,
            paths=paths,
            copy=_COPY,
        )


def console_sheet(
    task_name: str,
    training_file: str | Path,
    hp: Hyperparameters,
    *,
    base_model: str = siliconcloud.BASES[0],
    validation: float | str | Path = VALIDATION.suggested,
    copy_files: bool = True,
) -> ConsoleSheet:
    """Return what to type into SiliconCloud's form.

    Args:
        training_file: its path; if the file exists on this machine, the form links to it.
        validation: a share of the training rows, or the path of a validation file.
        copy_files: whether a file that Jupyter cannot serve is copied beside the notebook, into
            `siliconcloud-upload/`; without it the form shows the file's path.
    """
    paths = {siliconcloud.TRAINING_FIELD: Path(training_file)}
    if isinstance(validation, str | Path):
        paths[siliconcloud.VALIDATION_FIELD] = Path(validation)
        held_back = Path(validation).name
    else:
        held_back = f"{validation:.0%}"
    fields = {
        siliconcloud.TASK_FIELD: task_name,
        siliconcloud.BASE_FIELD: base_model,
        siliconcloud.TRAINING_FIELD: Path(training_file).name,
        siliconcloud.VALIDATION_FIELD: held_back,
    }
    values = hp.to_dict()
    for name, label in siliconcloud.FORM_LABELS.items():
        # Ten digits show a number as the reader wrote it, without the noise of binary fractions.
        fields[label] = f"{values[name]:.10g}"
    # A file may be named that is on another machine; the form shows its name without a link.
    present = {name: path for name, path in paths.items() if os.path.isfile(path)}
    links = {}
    for name, path in present.items():
        link = upload_copy.link(path, copy=copy_files)
        # Without a link the form shows the file's path.
        if link is not None:
            links[name] = link
    return ConsoleSheet(fields, present, links)
