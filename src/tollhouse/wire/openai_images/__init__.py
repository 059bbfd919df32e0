"""OpenAI's Images: pictures from a prompt, as callers and providers speak of them."""
