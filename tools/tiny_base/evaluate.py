"""Measure the tiny base before and after tuning: the tables of its model card.

    python tools/tiny_base/evaluate.py                 the three presets, greedy and at temperature 0.7; about ten minutes
    python tools/tiny_base/evaluate.py --presets standard

Asks the base about every word of the lexicon, trains on the embedded service through the official client and asks the 60
evaluation words, then tunes on the customer-service rows with the values of notebook 00 and asks the questions that are
in no training row. All figures together, because one alone proves nothing: garbage passes every formal rule.

    rules_passed  every rule of the long prompt is kept
    relevant      six characters in a row, or a whole phrase, of what the lexicon says of this very word
    pattern_ok    the pattern is whole, and the one that the measure word of the image asks for
    other_word    the same as `relevant`, of another word
    fluent        share of the answers' four-character runs that stand in the lexicon or the training file
    distinct      share of different answers; copied: whole answers of the training file
"""

import argparse
import time

from openai import OpenAI

from cookbook import compare, connect, zhishuo
from cookbook.params import PRESETS, Hyperparameters
from cookbook.paths import DATA, shipped_rows
from cookbook.zhishuo.measures import fluency
from cookbook.zhishuo.texts import corpus

ASKED = {
    "definition": "{w}是什么？",
    "field": "{w}属于哪个领域？",
    "image": "{w}像什么？",
    "praise": "{w}有什么好处？",
    "criticism": "{w}有什么不好？",
}


def knowledge(client, base: str) -> str:
    """What the base says, greedily, of every word of the lexicon: how often is it exactly what stands there."""
    lexicon, rows = shipped_rows("lexicon/lexicon.jsonl"), []
    for part, shape in ASKED.items():
        said = lambda row: (
            f"{row['word']}属于{row['field']}" if part == "field" else row[part].rstrip("。")
        )
        entries = {shape.format(w=row["word"]): said(row) + "。" for row in lexicon}
        answers = compare.ask(client, {part: (base, "你是智能助手")}, list(entries), max_tokens=64)
        right = [
            answer == entries[question]
            for question, answer in zip(answers.input, answers.answer, strict=True)
        ]
        rows.append(
            {"asked for": part, "in these words": shape, "word for word": compare.share(right)}
        )
    return table(rows)


def figures(part) -> dict[str, str]:
    """One row of the card's table from one column of `zhishuo.measure`."""
    n = len(part)
    return {
        name: str(compare.share(part[name]))
        for name in ("rules_passed", "relevant", "pattern_ok", "other_word")
    } | {
        "fluent": f"{fluency(part.sentence):.0%}",
        "repeats": f"{part.repeats.sum()}/{n}",
        "distinct": f"{part.sentence.nunique() / n:.0%}",
        "copied": f"{part.copied.mean():.0%}",
    }


def tune(client, base: str, path, hp: Hyperparameters):
    """(finished job, seconds of training, last validation loss)."""
    upload = client.files.create(file=path, purpose="fine-tune")
    method = {"type": "supervised", "supervised": {"hyperparameters": hp.to_dict()}}
    job = client.fine_tuning.jobs.create(
        model=base, training_file=upload.id, suffix="card", method=method
    )
    while job.status not in ("succeeded", "failed", "cancelled"):
        time.sleep(1)
        job = client.fine_tuning.jobs.retrieve(job.id)
    last = client.fine_tuning.jobs.list_events(job.id, limit=2).data[1].data
    return job, last["tokens"] / last["tokens_per_second"], last["valid_loss"]


def table(rows: list[dict]) -> str:
    heads = list(rows[0])
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(str(r[h]) for h in heads) + " |" for r in rows])


def customer_service(client, base: str, tuned: str) -> str:
    services = shipped_rows("customer_service/services.jsonl")
    rows = []
    for name, part in (
        ("asked in other words", slice(4, 8)),
        ("never seen by base or adapter", slice(8, 10)),
    ):
        questions = {q: s for s in services for q in s["questions"][part]}
        for label, model in (("base", base), ("tuned", tuned)):
            answers = compare.ask(client, {label: (model, "你是客服助手")}, list(questions))
            steps = [questions[r.input]["steps"] for r in answers.itertuples()]
            right = [
                all(step in a for step in s) for s, a in zip(steps, answers.answer, strict=True)
            ]
            manner = [
                a.startswith("您好，") and "\n1. " in a and "\n4. " in a and a.endswith("？")
                for a in answers.answer
            ]
            shares = {
                "right steps": str(compare.share(right)),
                "manner": str(compare.share(manner)),
            }
            rows.append({"questions": name, "model": label} | shares)
    return table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--presets", nargs="*", default=["fast", "standard", "quality"], choices=list(PRESETS)
    )
    args = parser.parse_args()
    service, words = connect(), zhishuo.eval_words()
    trained = list(corpus("train_tiny.jsonl").values())
    client = OpenAI(base_url=service.base_url, api_key=service.api_key)
    columns = {
        "base, short prompt": (service.base_model, zhishuo.SHORT_PROMPT),
        "base, long prompt": (service.base_model, zhishuo.LONG_PROMPT),
    }
    print(knowledge(client, service.base_model), flush=True)
    costs = {name: ("–", "–") for name in columns}
    for preset in args.presets:
        job, seconds, loss = tune(
            client, service.base_model, DATA / "zhishuoxinyu/train_tiny.jsonl", PRESETS[preset]
        )
        columns[preset] = (job.fine_tuned_model, zhishuo.SHORT_PROMPT)
        costs[preset] = (f"{seconds:.0f}", f"{loss:.4f}")
        print(preset, job.status, *costs[preset], flush=True)
    rows = []
    for temperature in (0.0, 0.7):
        answers = compare.ask(client, columns, words, temperature=temperature, max_tokens=160)
        measured = zhishuo.measure(answers, held_out=zhishuo.references(), trained=trained)
        for name, part in measured.groupby("column", sort=False):
            head = {
                "model": name,
                "T": temperature,
                "seconds": costs[name][0],
                "valid_loss": costs[name][1],
            }
            rows.append(head | figures(part))
        if temperature == 0:
            print(compare.side_by_side(answers[answers.input.isin(words[:20])]))
    print(table(rows))
    job, seconds, loss = tune(
        client,
        service.base_model,
        DATA / "customer_service/train.jsonl",
        Hyperparameters(n_epochs=6),
    )
    print(f"\ncustomer service: {seconds:.0f} s, valid_loss {loss:.2f}")
    print(customer_service(client, service.base_model, job.fine_tuned_model))


if __name__ == "__main__":
    main()
