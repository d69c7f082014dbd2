"""Measure the tiny base before and after tuning: the tables of its model card.

    python tools/tiny_base/evaluate.py                       the three presets; about ten minutes
    python tools/tiny_base/evaluate.py --presets standard

Asks the base about every word of the lexicon. Trains on the embedded service through the official
client, and asks the 60 evaluation words, greedily and at temperature 0.7. Then tunes on the
customer-service rows with the values of notebook 00, and asks the questions that are in no training
row. All figures together, because one alone proves nothing: garbage passes every formal rule.

    rules_passed  every rule of the long prompt is kept
    relevant      six characters in a row, or a whole phrase, of what the lexicon says of this word
    pattern_ok    the pattern is whole, and the one that the measure word of the image asks for
    other_word    the same as `relevant`, of another word
    fluent        share of the answers' four-character runs that are in the lexicon or the training
                  file
    repeats       answers that say something three times in a row
    distinct      share of different answers
    copied        share of answers that are in the training file
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openai import OpenAI

from cookbook import compare, connect, zhishuo
from cookbook.params import PRESETS, Hyperparameters
from cookbook.paths import DATA, shipped_rows
from cookbook.zhishuo import measures, texts

if TYPE_CHECKING:
    import pandas as pd

QUESTIONS = {
    "definition": "{w}是什么？",
    "field": "{w}属于哪个领域？",
    "image": "{w}像什么？",
    "praise": "{w}有什么好处？",
    "criticism": "{w}有什么不好？",
}
# Parts of a service's ten ways to be asked for. The corpus uses the first four, the base saw eight.
SERVICE_QUESTIONS = {
    "asked in other words": slice(4, 8),
    "never seen by base or adapter": slice(8, 10),
}
SHARES = ("rules_passed", "relevant", "pattern_ok", "other_word")

Row = dict[str, Any]  # of a table of the card: heading -> cell


def knowledge(client: OpenAI, base: str) -> list[Row]:
    """Return how often the base says, greedily, exactly what the lexicon says of a word."""
    lexicon = shipped_rows("lexicon/lexicon.jsonl")
    rows = []
    for part, question in QUESTIONS.items():
        expected = {}  # asked -> the lexicon's answer
        for row in lexicon:
            expected[question.format(w=row["word"])] = _expected(row, part)
        column = {part: (base, "你是智能助手")}
        answers = compare.ask(client, column, list(expected), max_tokens=64)
        right = answers.answer == answers.input.map(expected)
        share = compare.share(right)
        rows.append({"asked for": part, "in these words": question, "word for word": share})
    return rows


def _expected(row: dict, part: str) -> str:
    if part == "field":
        return f"{row['word']}属于{row['field']}。"
    return row[part].rstrip("。") + "。"


@dataclass(frozen=True)
class Tuned:
    """A tuned model, the seconds of its training, and its last validation loss."""

    model: str
    seconds: float
    valid_loss: float


def tune(client: OpenAI, base: str, path: Path, hp: Hyperparameters) -> Tuned:
    """Train on the file and return what came of it."""
    upload = client.files.create(file=path, purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model=base,
        training_file=upload.id,
        suffix="card",
        method={"type": "supervised", "supervised": {"hyperparameters": hp.to_dict()}},
    )
    while job.status not in ("succeeded", "failed", "cancelled"):
        time.sleep(1)
        job = client.fine_tuning.jobs.retrieve(job.id)
    if job.fine_tuned_model is None:
        raise SystemExit(f"the job {job.id} ended as {job.status}: {job.error}")
    # The newest event closes the job; the one before it is the last step.
    events = client.fine_tuning.jobs.list_events(job.id, limit=2)
    step: Any = events.data[1].data
    seconds = step["tokens"] / step["tokens_per_second"]
    return Tuned(job.fine_tuned_model, seconds, step["valid_loss"])


def sayings(client: OpenAI, columns: dict, costs: dict[str, Row]) -> list[Row]:
    """Return the measures of every column's answers to the evaluation words; print a few."""
    words = zhishuo.eval_words()
    trained = list(texts.corpus("train_tiny.jsonl").values())
    rows = []
    for temperature in (0.0, 0.7):
        answers = compare.ask(client, columns, words, temperature=temperature, max_tokens=160)
        measured = zhishuo.measure(answers, held_out=zhishuo.references(), trained=trained)
        for name, part in measured.groupby("column", sort=False):
            head = {"model": name, "T": temperature}
            rows.append(head | costs[str(name)] | _measures(part))
        if temperature == 0:
            few = answers.input.isin(words[:20])
            print(compare.side_by_side(answers[few]))
    return rows


def _measures(part: "pd.DataFrame") -> Row:
    """Return one row of the card from one column of `zhishuo.measure`."""
    shares = {name: compare.share(part[name]) for name in SHARES}
    return shares | {
        "fluent": f"{measures.fluency(part.sentence):.0%}",
        "repeats": f"{part.repeats.sum()}/{len(part)}",
        "distinct": f"{part.sentence.nunique() / len(part):.0%}",
        "copied": f"{part.copied.mean():.0%}",
    }


def customer_service(client: OpenAI, base: str, tuned: str) -> list[Row]:
    """Return how often the steps are right and the style is kept, in words no training row has."""
    rows = []
    for name, part in SERVICE_QUESTIONS.items():
        services: dict[str, dict] = {}  # question -> the service it asks for
        for service in shipped_rows("customer_service/services.jsonl"):
            services |= dict.fromkeys(service["questions"][part], service)
        for label, model in (("base", base), ("tuned", tuned)):
            column = {label: (model, "你是客服助手")}
            answers = compare.ask(client, column, list(services))
            right = []
            for question, answer in zip(answers.input, answers.answer, strict=True):
                right.append(_has_steps(answer, services[question]["steps"]))
            style = [_has_style(answer) for answer in answers.answer]
            shares = {"right steps": compare.share(right), "style": compare.share(style)}
            rows.append({"questions": name, "model": label} | shares)
    return rows


def _has_steps(answer: str, steps: list[str]) -> bool:
    return all(step in answer for step in steps)


def _has_style(answer: str) -> bool:
    """Return whether it greets, lists four steps, and closes with a question."""
    listed = "\n1. " in answer and "\n4. " in answer
    return answer.startswith("您好，") and listed and answer.endswith("？")


def table(rows: list[Row]) -> str:
    """Return rows of the same headings as a table in Markdown."""
    heads = list(rows[0])
    lines = [_line(heads), "|" + " --- |" * len(heads)]
    lines += [_line([row[head] for head in heads]) for row in rows]
    return "\n".join(lines)


def _line(cells: list[Any]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = ["fast", "standard", "quality"]
    parser.add_argument("--presets", nargs="*", default=usual, choices=list(PRESETS))
    args = parser.parse_args()
    service = connect()
    client = OpenAI(base_url=service.base_url, api_key=service.api_key)
    base = service.base_model

    # What the base knows, word by word.
    print(table(knowledge(client, base)), flush=True)

    # 智说新语: the base with both prompts, and what each preset makes of it.
    columns = {
        "base, short prompt": (base, zhishuo.SHORT_PROMPT),
        "base, long prompt": (base, zhishuo.LONG_PROMPT),
    }
    costs = {name: {"seconds": "–", "valid_loss": "–"} for name in columns}
    corpus = DATA / "zhishuoxinyu" / "train_tiny.jsonl"
    for preset in args.presets:
        tuned = tune(client, base, corpus, PRESETS[preset])
        columns[preset] = (tuned.model, zhishuo.SHORT_PROMPT)
        costs[preset] = {
            "seconds": f"{tuned.seconds:.0f}",
            "valid_loss": f"{tuned.valid_loss:.4f}",
        }
        print(preset, costs[preset], flush=True)
    print(table(sayings(client, columns, costs)))

    # The customer-service rows, with the values of notebook 00.
    corpus = DATA / "customer_service" / "train.jsonl"
    tuned = tune(client, base, corpus, Hyperparameters(n_epochs=6))
    print(f"\ncustomer service: {tuned.seconds:.0f} s, valid_loss {tuned.valid_loss:.2f}")
    print(table(customer_service(client, base, tuned.model)))


if __name__ == "__main__":
    main()
