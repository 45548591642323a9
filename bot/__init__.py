"""The assistant: understands a message, runs the dialogue, speaks on a channel."""
