"""Read the export of a chat, and make rows of it: who said what, who asks and who answers."""
