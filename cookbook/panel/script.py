"""Write the Python that trains with the panel's choice, to paste into a project.

The script uses the `openai` client alone, which the reader has as `client`.
"""

from pathlib import Path

from cookbook import params, siliconcloud
from cookbook.i18n import tr
from cookbook.panel.training_file import path_from_here
from cookbook.params import Hyperparameters


def training_script(
    hp: Hyperparameters,
    *,
    task_name: str,
    base_model: str,
    training_file: Path | None,
    validation: float | Path,
) -> str:
    """Return the Python that uploads the files and starts the job, where a service trains by API.

    Args:
        training_file: None writes a placeholder, `train.jsonl`.
        validation: the share held out, or a validation file.
    """
    values = f"hyperparameters = {hp.to_dict()}"
    # The platform has no public route for jobs, so there is nothing to call.
    if base_model in siliconcloud.BASES:
        hint = tr(
            "SiliconCloud 在控制台里训练，填下面的表单",
            "SiliconCloud trains in its console: see the form",
        )
        return f"{values}\n# {hint}"

    lines = [values, f"upload = {_upload(training_file or Path('train.jsonl'))}"]
    # The service's own share needs no argument.
    validation_argument = []
    if isinstance(validation, Path):
        lines.append(f"held = {_upload(validation)}")
        validation_argument = ["    validation_file=held.id,"]
    elif validation != params.VALIDATION.suggested:
        validation_argument = [f'    extra_body={{"validation_split": {validation}}},']
    lines += [
        "job = client.fine_tuning.jobs.create(",
        f"    model={base_model!r},",
        "    training_file=upload.id,",
        *validation_argument,
        f"    suffix={task_name!r},",
        '    method={"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},',
        ")",
    ]
    return "\n".join(lines)


def _upload(path: Path) -> str:
    opened = f'open({path_from_here(path)!r}, "rb")'
    return f'client.files.create(file={opened}, purpose="fine-tune")'
