"""Drafts from the embedded service: as batches they are those that chat gives."""

from cookbook import synthesize, zhishuo

WORDS = ["外卖", "排队"]


def test_drafts_in_a_batch_are_those_of_chat_and_are_asked_once(service, client, tmp_path):
    asked = service.base_model, zhishuo.LONG_PROMPT, WORDS
    settings = {"n": 2, "max_tokens": 48}
    at_once = synthesize.drafts(client, *asked, path=tmp_path / "at_once.jsonl", **settings)
    path = tmp_path / "batch.jsonl"
    in_a_batch = synthesize.drafts(client, *asked, path=path, batch=True, **settings)
    assert at_once.equals(in_a_batch) and not in_a_batch.error.notna().any()
    batches = len(client.batches.list().data)
    again = synthesize.drafts(client, *asked, path=path, batch=True, **settings)
    assert again.equals(in_a_batch) and len(client.batches.list().data) == batches


def test_drafts_of_a_model_that_is_not_there_are_refused_in_a_sentence(client, tmp_path):
    path = tmp_path / "a.jsonl"
    drafts = synthesize.drafts(client, "no/such", "写一句", WORDS, path=path, n=1)
    assert drafts.error.str.contains("no/such").all()
