"""Load models, train adapters, generate answers. Knows neither HTTP nor SQL.

The base, for both:
    load                        tokenizer, then weights; or one sentence why that is impossible
    device, weights             where it is computed, and in which type chat loads its weights
    stored, four_bit            weights that are kept smaller than they are computed with
    template, conversation      its chat template, and a conversation as its tokens

Training, from the outside in:
    train                       the loop: rows in, events and an adapter folder out
    run                         what a job trains: memory plan, base, adapter, optimizer, examples
    examples                    rows as tokens, with those that are trained on
    step, loss                  a batch's gradients in micro-batches, without all logits at once
    workers, shards             several processes that take each step together
    heap                        what was freed is given back, here and when chat unloads
    evaluate                    the loss without gradients, and the proof that an adapter acts
    checkpoints                 adapters, and the state to resume from
    working_folder              the names of a job's files, without torch

Answering, in the order of a request:
    generate                    the engine's thread, and how a request reaches it
    runner                      one base: whose answer starts, reads its prompt, has its next token
    loaded                      the bases that are in memory, and which makes room
    answer                      one request on its way, sent in pieces
    prompt, prompt_memory       what is read before the first token, and whether it fits
    reading                     prompts, as much of them as a pass may take
    batch, adapters             the rows of a pass, each with its own adapter
    choose, sampling, logprobs  the next token, and how likely it was
    grammar, json_schema        answers that keep to a schema
    speed                       tokens per second at present

    fast/                       quick paths of both, there for speed alone
"""
