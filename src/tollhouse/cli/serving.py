"""`tollhouse serve` and `tollhouse simulate`: run the gateway, or the provider in the box."""

import argparse
import asyncio
import sys

from tollhouse import server
from tollhouse.catalog.entries import Catalog
from tollhouse.cli.books import add_folder_options, now_ms, settings_of
from tollhouse.cli.catalogue import load_for
from tollhouse.cli.commands import Commands
from tollhouse.cli.output import print_text
from tollhouse.settings import Settings
from tollhouse.simulator import serve as simulator
from tollhouse.stores.demo import ensure_demo


def add_serving(commands: Commands) -> None:
    """The commands."""
    serve = commands.add_parser("serve", help="run the gateway")
    add_folder_options(serve)
    serve.add_argument("--catalog", metavar="FILE", help="catalogue (TOLLHOUSE_CATALOG; default: the shipped one)")
    serve.add_argument("--host", metavar="H", help="address to listen on (TOLLHOUSE_HOST; default: 127.0.0.1)")
    serve.add_argument("--port", metavar="P", help="port to listen on (TOLLHOUSE_PORT; default: 8080)")
    serve.add_argument("--workers", metavar="N", help="processes (TOLLHOUSE_WORKERS; default: 1)")
    serve.set_defaults(run=_serve)
    simulate = commands.add_parser("simulate", help="run the simulator as a provider of its own")
    simulate.add_argument("--host", default="127.0.0.1", metavar="H", help="address to listen on (default: 127.0.0.1)")
    simulate.add_argument("--port", type=_port, default=9090, metavar="N", help="port to listen on (default: 9090)")
    simulate.set_defaults(run=_simulate)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: choose 0 to 65535")
    return int(text)


def _serve(args: argparse.Namespace) -> int:
    settings = settings_of(args)
    catalog = load_for(settings).catalog
    key = asyncio.run(_demo_key(settings))

    def announce(url: str) -> None:
        print_text(greeting(url, key, _example_model(catalog)))
        # Into a pipe or a file, Python would keep it back until the end.
        sys.stdout.flush()

    return server.run(settings, announce)


async def _demo_key(settings: Settings) -> str | None:
    """Opens the books before any port is taken, so that a folder that cannot be used is told at once."""
    store = await server.open_store(settings)
    try:
        return await ensure_demo(store, settings.data_dir, settings.key_prefix, now_ms()) if settings.demo else None
    finally:
        await store.close()


def _example_model(catalog: Catalog) -> str | None:
    """A model for the example calls: one of the simulator's where there is one, since it costs nobody money."""
    chat = [model for model in catalog.listed if "chat" in model.operations]
    chosen = next((model for model in chat if model.demo), chat[0] if chat else None)
    return None if chosen is None else chosen.slug


def greeting(url: str, key: str | None, model: str | None) -> str:
    """What is printed once the gateway listens: where it is, the demo key, and a call for each API."""
    lines = [f"Tollhouse answers on {url}"]
    if model is None:
        lines.append("No model can be called: set a provider's key, such as OPENAI_API_KEY, or see `tollhouse models`.")
    if key is None:
        lines.append("Make a key with: tollhouse keys create --workspace W --credit 5")
    if key is None or model is None:
        return "\n".join(lines)
    body = f'{{"model":"{model}","messages":[{{"role":"user","content":"Hello"}}]}}'
    calls = (
        ("HPP Router", "/llm/v1/chat/completions", f"apikey: {key}"),
        ("HyperInfer", "/api/v1/chat/completions", f"Authorization: Bearer {key}"),
        ("VoltageGPU", "/v1/chat/completions", f"X-VoltageGPU-Key: {key}"),
    )
    lines.append(f"The demo key, with 5 USD of credit at first: {key}")
    for api, path, header in calls:
        lines.append(f"\n{api}:\n  curl {url}{path} -H '{header}' \\")
        lines.append(f"    -H 'Content-Type: application/json' -d '{body}'")
    return "\n".join(lines) + "\n"


def _simulate(args: argparse.Namespace) -> int:
    return simulator.run(args.host, args.port)
