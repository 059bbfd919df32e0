"""OpenAI Responses: requests, answers, streams, usage and errors of this format and nothing else."""
