"""What models are for, in which formats providers are asked for it, and what pictures cost: as a catalogue says it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tollhouse.catalog.entries import Catalog, ImagePrice
from tollhouse.catalog.load import Loaded, load_catalog
from tollhouse.catalog.problems import CatalogError
from tollhouse.wire.registry import OPERATIONS

FORMATS = "[openai_chat, openai_embeddings, openai_images]"
ONE = f"{{id: one, formats: {FORMATS}, base_url: 'https://one.example/v1', api_key: k}}"
CHAT = "{id: talk, format: openai_chat, base_url: 'https://talk.example/v1', api_key: k}"
PAINT = "{id: paint, format: sdapi, base_url: 'https://paint.example', api_key: none}"


def loaded(tmp_path: Path, models: str, top: str = "", environ: Mapping[str, str] | None = None) -> Loaded:
    file = tmp_path / "catalog.yaml"
    file.write_text(f"{top}providers:\n  - {ONE}\n  - {CHAT}\n  - {PAINT}\nmodels:\n{models}")
    return load_catalog(file, environ or {}, OPERATIONS)


def problem(tmp_path: Path, models: str, top: str = "") -> str:
    with pytest.raises(CatalogError) as raised:
        loaded(tmp_path, models, top)
    return str(raised.value)


def asked(catalog: Catalog, name: str) -> list[tuple[str, str, str]]:
    found = catalog.resolve(name)
    assert found is not None
    return [(one.name, one.operation, one.format) for one in found.model.deployments]


def test_a_deployment_stands_there_once_for_each_operation(tmp_path: Path) -> None:
    models = (
        "  - {slug: a/all, operations: [images, chat, embeddings], pricing: {prompt: 1, completion: 1, per_image: 1},"
        " deployments: [{provider: one, model: x}, {provider: talk, model: y}]}\n"
        "  - {slug: a/talk, free: true, deployments: [{provider: one, model: x}]}\n"
        "  - {slug: a/paint, operations: [images], pricing: {per_image: 1},"
        " deployments: [{provider: paint, model: z}]}\n"
    )
    catalog = loaded(tmp_path, models).catalog
    assert asked(catalog, "a/all") == [
        ("one:x", "chat", "openai_chat"),
        ("one:x@embeddings", "embeddings", "openai_embeddings"),
        ("one:x@images", "images", "openai_images"),
        ("talk:y", "chat", "openai_chat"),
    ]
    found = catalog.resolve("a/all")
    assert found is not None
    assert found.model.operations == ("chat", "embeddings", "images")
    assert asked(catalog, "a/talk") == [("one:x", "chat", "openai_chat")]
    assert asked(catalog, "a/paint") == [("paint:z@images", "images", "sdapi")]


def test_a_model_whose_provider_cannot_be_asked_for_it_is_left_out(tmp_path: Path) -> None:
    model = (
        "  - {slug: a/b, operations: [embeddings], pricing: {prompt: 1}, deployments: [{provider: talk, model: x}]}\n"
    )
    found = loaded(tmp_path, model)
    assert found.catalog.listed == ()
    (left_out,) = found.left_out
    assert (left_out.provider, left_out.why) == ("talk", "speaks no format for embeddings")


def test_one_of_several_operations_that_nobody_serves_is_none(tmp_path: Path) -> None:
    model = "  - {slug: a/*, operations: [chat, images], free: true, deployments: [{provider: talk, model: '*'}]}\n"
    found = loaded(tmp_path, model).catalog.resolve("a/x")
    assert found is not None
    assert found.model.operations == ("chat",)


def test_prices_of_pictures(tmp_path: Path) -> None:
    models = (
        "  - slug: a/b\n    operations: [images]\n    pricing:\n      per_image: 0.04\n      images:\n"
        "        - {size: 512x512, usd: 0.018}\n        - {quality: high, usd: 0.08, output_tokens: 100}\n"
        "    deployments: [{provider: one, model: x}]\n"
    )
    found = loaded(tmp_path, models).catalog.resolve("a/b")
    assert found is not None
    assert found.model.price.per_image_pico_usd == 40_000_000_000
    assert found.model.price.images == (
        ImagePrice(size="512x512", pico_usd=18_000_000_000),
        ImagePrice(quality="high", pico_usd=80_000_000_000, output_tokens=100),
    )


@pytest.mark.parametrize(
    ("pricing", "said"),
    [
        ("{prompt: 1}", "has no price for a picture; add `per_image`, `images` or `image_output`"),
        ("{per_image: 0}", "has no price for a picture"),
        ("{}", "every price is 0"),
        ("{images: [{size: 512x512}]}", "needs `usd` (a picture's price in USD), or `output_tokens`"),
        ("{images: [{size: big, usd: 1}]}", "expected a size such as 1024x1024, not `big`"),
        ("{images: [{quality: 'A B', usd: 1}]}", "expected a word such as high"),
        ("{images: [{usd: 1}, {usd: 2}]}", "another entry is for the same size and quality"),
        ("{images: [{usd: 1, price: 2}]}", "unknown key `price`"),
        ("{images: [{usd: -1}]}", "expected a plain decimal number"),
    ],
)
def test_what_is_wrong_with_a_price_of_pictures(tmp_path: Path, pricing: str, said: str) -> None:
    model = f"  - {{slug: a/b, operations: [images], pricing: {pricing}, deployments: [{{provider: one, model: x}}]}}\n"
    assert said in problem(tmp_path, model)


def test_a_model_for_embeddings_needs_no_price_of_what_comes_out(tmp_path: Path) -> None:
    line = "  - {{slug: a/b, operations: [{0}], pricing: {1}, deployments: [{{provider: one, model: x}}]}}\n"
    assert loaded(tmp_path, line.format("embeddings", "{prompt: 1}")).catalog.listed
    assert "needs `completion`" in problem(tmp_path, line.format("chat, embeddings", "{prompt: 1}"))
    assert "needs `prompt`" in problem(tmp_path, line.format("embeddings", "{cached_prompt: 1}"))
    assert "`music` is not known here" in problem(tmp_path, line.format("music", "{prompt: 1}"))


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("formats: [openai_chat, openai_responses]", "`openai_chat` and `openai_responses` are both for chat"),
        ("formats: [openai_images, sdapi]", "`openai_images` and `sdapi` are both for images"),
        ("formats: []", "has to name at least one format"),
        ("formats: [opnai_chat]", "the format `opnai_chat` is not known; did you mean `openai_chat`?"),
        ("format: openai_chat, formats: [sdapi]", "has `format` and `formats`"),
    ],
)
def test_what_is_wrong_with_formats(tmp_path: Path, provider: str, said: str) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_text(f"providers:\n  - {{id: x, {provider}, base_url: 'https://x.example', api_key: none}}\n")
    with pytest.raises(CatalogError) as raised:
        load_catalog(file, {}, OPERATIONS)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        ("", "a/first"),
        ("default_models: {images: a/second}\n", "a/second"),
        ("default_models: {images: alias}\n", "alias"),
        ("default_models: {images: a/nobody}\n", "a/first"),
        ("default_models: {chat: a/talk}\n", "a/first"),
    ],
)
def test_the_model_for_calls_that_name_none(tmp_path: Path, top: str, expected: str) -> None:
    paint = "operations: [images], pricing: {per_image: 1}, deployments: [{provider: paint, model: z}]"
    models = (
        "  - {slug: a/talk, free: true, deployments: [{provider: talk, model: x}]}\n"
        f"  - {{slug: a/first, {paint}}}\n  - {{slug: a/second, aliases: [alias], {paint}}}\n"
    )
    assert loaded(tmp_path, models, top).catalog.default_model("images") == expected
    assert "unknown key `music` in default_models" in problem(tmp_path, models, "default_models: {music: a/b}\n")


def test_a_catalogue_without_a_model_for_it_has_no_usual_one(tmp_path: Path) -> None:
    models = "  - {slug: a/talk, free: true, deployments: [{provider: talk, model: x}]}\n"
    assert loaded(tmp_path, models).catalog.default_model("images") is None


def test_the_shipped_catalogue_has_the_models_of_the_contracts(tmp_path: Path) -> None:
    catalog = load_catalog(None, {}, OPERATIONS, "http://127.0.0.1:9").catalog
    for name, operation in (("gpt-image-1", "images"), ("text-embedding-ada-002", "embeddings")):
        found = catalog.resolve(name)
        assert found is not None
        assert (found.model.operations, found.model.demo) == ((operation,), True)
    assert catalog.default_model("images") == "simulator/diffusion"
    extended = tmp_path / "own.yaml"
    extended.write_text("extends: default\ndefault_models: {images: gpt-image-1}\n")
    own = load_catalog(extended, {}, OPERATIONS, "http://127.0.0.1:9").catalog
    assert own.default_model("images") == "gpt-image-1"
