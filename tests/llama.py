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
        """Return the likeliest tokens, those that end an answer left out.

        Nothing where the first is a part of a character: llama.cpp tells none of it.
        """
        request = {"prompt": ids, "n_predict": 4, "n_probs": top, "temperature": 0}
        request |= {"ignore_eos": True, "return_tokens": True}
        address = f"{self._server.listening_address}/completion"
        answer = httpx.post(address, json=request, timeout=60).raise_for_status().json()
        told = answer.get("completion_probabilities")
        if not told or told[0]["id"] != answer["tokens"][0]:
            return {}
        return {one["id"]: one["logprob"] for one in told[0]["top_logprobs"]}
