"""Make rows of the export of a chat.

    chat_log.from_chat_log(source)      the rows; `cookbook.data` has it by this name
    chat_log.is_chat_log(columns)       whether a table is one

`texts` reads logs that are text, or Telegram's JSON; `chat_messages` reads who said what and when;
`sides` finds out who asks and who answers; `chat_log` cuts the talk into conversations.
"""
