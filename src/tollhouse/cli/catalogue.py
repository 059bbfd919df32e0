"""`tollhouse models` and `tollhouse check`: what can be called, and whether settings and catalogue can be used."""

import argparse
import os

from tollhouse.catalog.decimals import from_fixed_point
from tollhouse.catalog.entries import Catalog, Model, Price
from tollhouse.catalog.load import Loaded, count_left_out, load_catalog
from tollhouse.catalog.problems import CatalogError
from tollhouse.cli.books import add_folder_options, add_json_option, settings_of
from tollhouse.cli.commands import Commands
from tollhouse.cli.output import print_error, print_json, print_table, print_text
from tollhouse.money.image_pricing import image_pico_usd
from tollhouse.relay.rules_in_force import configured_rules
from tollhouse.routing.gaps import gaps
from tollhouse.routing.rules import BrokenRules
from tollhouse.settings import Settings, SettingsError
from tollhouse.wire.registry import OPERATIONS

_SIMULATOR_URL = "http://simulator.invalid"
_PICO_USD_PLACES = 12
_PICO_PLACES = 6  # pico-USD per token are micro-USD per million tokens


def add_catalogue(commands: Commands) -> None:
    """The commands."""
    models = commands.add_parser("models", help="the models that can be called, with prices")
    models.set_defaults(run=_models)
    check = commands.add_parser("check", help="check the settings and the catalogue")
    check.set_defaults(run=_check)
    for parser in (models, check):
        parser.add_argument("--catalog", metavar="FILE", help="catalogue (TOLLHOUSE_CATALOG; default: the shipped one)")
        add_folder_options(parser)
        add_json_option(parser)


def load_for(settings: Settings) -> Loaded:
    """The catalogue as `serve` would load it. Raises CatalogError."""
    simulator_url = _SIMULATOR_URL if settings.demo else None
    return load_catalog(settings.catalog, os.environ, OPERATIONS, simulator_url)


def print_catalog_error(error: CatalogError) -> None:
    """Every problem on a line of its own that begins with file and line, as editors follow them."""
    print_error(f"The catalogue cannot be used.\n{error}")


def _models(args: argparse.Namespace) -> int:
    loaded = load_for(settings_of(args))
    if args.json:
        print_json([_as_json(model) for model in loaded.catalog.listed])
        return 0
    print_table(
        ("MODEL", "NAME", "FOR", "CONTEXT", "PROMPT", "COMPLETION", "PICTURE", "PROVIDERS"),
        [
            (
                model.slug,
                model.name,
                ", ".join(model.operations),
                str(model.context_length or "-"),
                _per_million(model.price.rates.prompt),
                _per_million(_output_rate(model)),
                _per_picture(model.price) or "-",
                ", ".join(dict.fromkeys(d.provider.id for d in model.deployments)),
            )
            for model in loaded.catalog.listed
        ],
        right=(3, 4, 5, 6),
    )
    print_text("Prices in USD per million tokens, and per picture.")
    wildcards = [model.slug for model in loaded.catalog.models if model.is_wildcard]
    if wildcards:
        print_text(f"Any name that fits can be called, too: {', '.join(wildcards)}")
    _print_left_out(loaded)
    return 0


def _print_left_out(loaded: Loaded) -> None:
    """A line for each provider whose models cannot be called, and what it waits for."""
    waiting = count_left_out(loaded.left_out)
    if waiting:
        print_text("\nLeft out, since their provider cannot be used yet:")
        rows = [(provider, str(count), why) for (provider, why), count in waiting.items()]
        print_table(("PROVIDER", "MODELS", "WHY"), rows, right=(1,))


def _as_json(model: Model) -> dict[str, object]:
    return {
        "slug": model.slug,
        "name": model.name,
        "aliases": model.aliases,
        "operations": model.operations,
        "context_length": model.context_length,
        "max_output_tokens": model.max_output_tokens,
        "prompt_usd_per_million": _per_million(model.price.rates.prompt),
        "completion_usd_per_million": _per_million(_output_rate(model)),
        "usd_per_picture": _per_picture(model.price),
        "free": model.price.is_free,
        "deployments": [deployment.name for deployment in model.deployments],
    }


def _output_rate(model: Model) -> int:
    """What comes out of a model for pictures is pictures."""
    rates = model.price.rates
    return rates.completion if "chat" in model.operations else rates.image_output or rates.completion


def _per_picture(price: Price) -> str | None:
    """The dearest, where it depends on what is asked for; None where pictures are paid by tokens, or there are none."""
    pico_usd = image_pico_usd(price, None, None)
    return from_fixed_point(pico_usd, _PICO_USD_PLACES) if pico_usd else None


def _per_million(price_pico_usd: int) -> str:
    return from_fixed_point(price_pico_usd, _PICO_PLACES)


def _check(args: argparse.Namespace) -> int:
    try:
        settings = settings_of(args)
        loaded = load_for(settings)
    except SettingsError as error:
        if args.json:
            print_json({"ok": False, "problems": [{"message": str(error)}]})
        else:
            print_error(str(error))
        return 1
    except CatalogError as error:
        if args.json:
            print_json({"ok": False, "problems": error.problems})
        else:
            print_catalog_error(error)
        return 1
    count = len(loaded.catalog.models)
    warnings = (*loaded.warnings, *_warnings_of_rules(settings, loaded.catalog))
    if args.json:
        print_json({"ok": True, "models": count, "left_out": len(loaded.left_out), "warnings": warnings})
        return 0
    print_text(f"Settings and catalogue are fine: {count} models can be called.")
    for warning in warnings:
        print_text(f"Warning: {warning}")
    _print_left_out(loaded)
    return 0


def _warnings_of_rules(settings: Settings, catalog: Catalog) -> tuple[str, ...]:
    """What a file of routing rules lacks; rules that cannot be used refuse calls, not the start."""
    if settings.routing_rules is None:
        return ()
    rules = configured_rules(settings.routing_rules, demo=settings.demo)
    if isinstance(rules, BrokenRules):
        return (f"the routing rules cannot be used, so calls to hpprouter/auto are refused: {rules.why}",)
    return tuple(f"the routing rules: {gap}" for gap in gaps(rules, catalog))
