"""The VoltageGPU dialect: a bounded OpenAI chat with errors that carry details."""
