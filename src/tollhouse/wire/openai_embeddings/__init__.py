"""OpenAI's Embeddings: vectors for texts. No translation to another format belongs here: every provider speaks this."""
