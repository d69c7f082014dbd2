"""Answer chat with vLLM, or another server that speaks its LoRA API, instead of in this process.

    chat = ChatRouter(ChatEngine(), settings, home)        router.py: the door
    chat.submit(request, on_piece)                          as `ChatEngine.submit`

The service keeps what it promises its clients: keys, limits, the model list, strict bodies and
errors. An engine is asked for one stream for each choice. Nothing here imports torch.

    router      which base is answered where; starts and ends the rest
    pool        chooses an engine for an answer, and another one where that fails
    remote      one engine: its routes, whether it can be reached
    watch       whether an engine whose streams are silent is still there
    adapters    which adapters an engine has loaded, and which is unloaded for another
    folder      the folder through which an engine gets them
    wire        a request and an answer as they travel
    faults      every sentence about what an engine refuses or lacks
"""
