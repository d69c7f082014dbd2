from cookbook import data, tokens
from cookbook.paths import DATA
from cookbook.service.engine.examples import encode

ROWS = data.load(DATA / "customer_service" / "train.jsonl")


def test_tokens_are_split_into_read_and_learned_as_training_does():
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(DATA / "models" / "tiny-zh")
    table = data.statistics(ROWS[:40])
    examples = [encode(tokenizer, row["messages"], 4096) for row in ROWS[:40]]
    assert (
        list(table.tokens)
        == [len(e.ids) for e in examples]
        == [tokens.count(r["messages"]) for r in ROWS[:40]]
    )
    assert list(table.trained_tokens) == [sum(e.trained) for e in examples]


def test_habits_are_counted():
    table = data.phrases(ROWS, length=2)
    openings = table[table["where"] == "opening"]
    assert openings.answers.is_monotonic_decreasing and openings.phrase.iloc[0] == "您好"


def test_the_figure_needs_no_chinese_font(recwarn):
    figure = data.figure(ROWS)
    figure.canvas.draw()
    assert not [w for w in recwarn if "Glyph" in str(w.message)]
    titles = [axes.get_title() for axes in figure.axes]
    assert len(titles) == 4 and all(t.isascii() for t in titles)
