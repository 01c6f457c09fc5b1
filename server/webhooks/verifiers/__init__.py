"""How senders prove who they are: one file per scheme, with its declaration and its vectors."""
