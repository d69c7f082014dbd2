"""Run a GGUF file in llama.cpp's own server, as `xllamacpp` carries it, inside this process.

with Llama(path) as llama:
    llama.answer(messages)          greedy, as chat
    llama.tokens("文本")             how llama.cpp cuts a text
    llama.next_logprobs(ids)        {token: log-probability} of the token after these
"""

import httpx
import xllamacpp

THREADS = 2
CONTEXT = 512


class Llama:
    """One model, one request at a time; no prompt is kept for the next request."""

    def __init__(self, path, context=CONTEXT):
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel = context, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = THREADS
        params.warmup = False
        params.cache_prompt, params.cache_ram_mib = False, 0
        params.verbosity = -1  # nothing on the terminal
        self._params = params

    def __enter__(self):
        self._server = xllamacpp.Server(self._params)
        return self

    def __exit__(self, *_):
        # It serves as long as it is referred to.
        del self._server

    def chat(self, messages, max_tokens=60):
        """Return the whole answer of the server."""
        request = {"messages": messages, "temperature": 0, "max_tokens": max_tokens}
        return self._server.handle_chat_completions(request)

    def answer(self, messages, max_tokens=60):
        return self.chat(messages, max_tokens)["choices"][0]["message"]["content"]

    def tokens(self, text, **options):
        body = {"content": text} | options
        answer = httpx.post(f"{self._server.listening_address}/tokenize", json=body)
        return answer.raise_for_status().json()["tokens"]

    def next_logprobs(self, ids, top=50):
        # Without an end or a part of a character as the only token, of which nothing would be told.
        request = {"prompt": ids, "n_predict": 4, "n_probs": top, "temperature": 0}
        address = f"{self._server.listening_address}/completion"
        answer = httpx.post(address, json=request | {"ignore_eos": True}, timeout=60)
        first = answer.raise_for_status().json()["completion_probabilities"][0]
        return {one["id"]: one["logprob"] for one in first["top_logprobs"]}
