"""`python -m fuzz SECONDS`: atheris drives every decoder, pipe and voice with bytes of its own making.

It stops at the first exception that is no fault, at an input that takes longer than 10 s, or above 1 GB of memory, and
leaves the input in a file that `python -m fuzz SECONDS FILE` runs again. Without atheris it says so and fails.
"""

import importlib
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

# Bytes to begin with: one small thing of each kind, in each format.
SEEDS = (
    b'\x00\x00\x00{"model":"m","messages":[{"role":"user","content":"Hi"}],"tools":[],"stop":"x"}',
    b'\x00\x04\x00{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"Hi"}]}]}',
    b'\x00\x08\x00{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}',
    b'\x01\x03\x00{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}',
    b'\x01\x01\x00{"output":[{"type":"message","content":[{"type":"output_text","text":"Hi"}]}],"status":"completed"}',
    b'\x01\x02\x00{"type":"message","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{}}',
    b'\x02\x03\x00data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    b'\x03\x01\x05event: response.created\ndata: {"type":"response.created","response":{"id":"r","output":[]}}\n\n',
    b'\x03\x02\x05data: {"type":"message_start","message":{"usage":{}}}\n\ndata: {"type":"message_stop"}\n\n',
    b'\x04\x00\x1d{"error":{"message":"slow down","code":"rate_limit"}}',
    b'\x05\x00\x02{"model":"m","input":"Hi"}',
)


def main() -> int:
    """The exit code."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    again = sys.argv[2:]
    try:
        atheris = importlib.import_module("atheris")
    except ModuleNotFoundError:
        sys.stderr.write("atheris is not installed: it has wheels for Linux on x86-64 only. Nothing was fuzzed.\n")
        return 1
    with atheris.instrument_imports(include=["tollhouse"]):
        fuzzing = importlib.import_module("support.fuzzing")
    with tempfile.TemporaryDirectory(prefix="tollhouse-fuzz-") as corpus:
        for number, seed in enumerate(SEEDS):
            (Path(corpus) / str(number)).write_bytes(seed)
        limits = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1024", "-max_len=4096"]
        atheris.Setup(["fuzz", *limits, *(again or [corpus])], lambda data: fuzzing.read(data) and None)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
