"""The simulator's pictures: real files that show the prompt, as OpenAI and a diffusion server give them."""

import asyncio
import base64
import io
import json

import aiohttp
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tollhouse.simulator import glyphs
from tollhouse.simulator.jpeg import jpeg
from tollhouse.simulator.picture import Wish, draw
from tollhouse.simulator.png import png
from tollhouse.simulator.serve import start_simulator

PROMPT = "A toll gate at dawn, 3 carts & a clerk"


def post(path, *bodies, headers=None):
    """(status, JSON) of each call, with what was fetched from the addresses in the answers, and the arrivals."""

    async def main():
        simulator = await start_simulator(record=True)
        answers = []
        async with aiohttp.ClientSession(headers=headers) as session:
            for body in bodies:
                async with session.post(simulator.url + path, json=body) as response:
                    answer = json.loads(await response.read())
                for item in answer.get("data") or ():
                    if item.get("url", "").startswith("http"):
                        async with session.get(item["url"]) as download:
                            item["file"] = await download.read()
                            item["type"] = download.content_type
                answers.append((response.status, answer))
            async with session.get(simulator.url + "/_simulator/pictures/none.png") as missing:
                assert missing.status == 404
        await simulator.stop()
        return answers

    return asyncio.run(main())


def generate(**body):
    return post("/v1/images/generations", {"prompt": PROMPT, **body})[0]


def paint(**body):
    return post("/sdapi/v1/txt2img", {"prompt": PROMPT, **body})[0]


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def read(image):
    """The text in a picture, by comparing its dots with the glyphs: line by line, without the blanks at the ends."""
    grey = image.convert("L")
    scale = max(1, min(image.size) // 128)
    paper = grey.getpixel((0, 0))
    dot = lambda x, y: "1" if abs(grey.getpixel((x * scale, y * scale)) - paper) > 40 else "0"  # noqa: E731
    shapes = {glyphs.glyph(c): c for c in map(chr, range(32, 127)) if c == glyphs.plain(c)}
    lines = []
    for top in range(4, image.height // scale - 12, glyphs.HEIGHT + 2):
        cells = range(4, image.width // scale - 8, glyphs.WIDTH + 1)
        rows = [tuple("".join(dot(x + i, top + y) for i in range(5)) for y in range(7)) for x in cells]
        lines.append("".join(shapes.get(row, "?") for row in rows).rstrip())
    return " ".join(line for line in lines if line)


@pytest.mark.parametrize("encode", [png, jpeg])
@pytest.mark.parametrize("size", [(256, 256), (512, 512), (1024, 1024), (1792, 1024), (1024, 1536)])
def test_a_picture_has_its_size_and_shows_its_text(encode, size):
    image = opened(encode(draw(Wish(text=PROMPT, width=size[0], height=size[1], seed="1"))))
    assert image.size == size
    assert image.format == ("PNG" if encode is png else "JPEG")
    assert read(image) == PROMPT.upper()


@settings(max_examples=40, deadline=None)
@given(text=st.text(max_size=3000), width=st.integers(1, 300), height=st.integers(1, 300), seed=st.text(max_size=3))
def test_any_text_in_any_size_makes_both_files_of_the_same_picture(text, width, height, seed):
    picture = draw(Wish(text=text, width=width, height=height, seed=seed))
    first, second = opened(png(picture)), opened(jpeg(picture))
    assert first.size == second.size == (width, height)
    # Both sides round once.
    assert max(abs(a - b) for a, b in zip(first.convert("L").tobytes(), second.tobytes(), strict=True)) <= 2


def test_text_that_does_not_fit_is_cut_and_says_so():
    text = read(opened(png(draw(Wish(text="carts " * 200, width=256, height=256, seed="")))))
    assert text.startswith("CARTS CARTS")
    assert text.endswith("...")


def test_a_gpt_image_model_gives_files_and_counts_tokens():
    status, answer = generate(model="gpt-image-1", n=2, size="1024x1536", quality="high")
    assert status == 200
    images = [opened(base64.b64decode(item["b64_json"])) for item in answer["data"]]
    assert [(image.size, image.format, read(image)) for image in images] == [((1024, 1536), "PNG", PROMPT.upper())] * 2
    assert images[0].convert("RGB").tobytes() != images[1].convert("RGB").tobytes()
    assert (answer["size"], answer["quality"], answer["output_format"]) == ("1024x1536", "high", "png")
    usage = answer["usage"]
    assert usage["output_tokens"] == 2 * 6240
    assert usage["input_tokens"] == 11
    assert usage["total_tokens"] == 11 + 2 * 6240
    assert usage["input_tokens_details"] == {"text_tokens": 11, "image_tokens": 0}


def test_a_gpt_image_model_makes_jpeg_and_transparent_paper():
    _, answer = generate(model="gpt-image-1", output_format="jpeg")
    assert opened(base64.b64decode(answer["data"][0]["b64_json"])).format == "JPEG"
    _, answer = generate(model="gpt-image-1", background="transparent")
    assert opened(base64.b64decode(answer["data"][0]["b64_json"])).convert("RGBA").getpixel((0, 0))[3] == 0
    assert answer["background"] == "transparent"


def test_a_dall_e_model_gives_an_address_or_a_file():
    _, by_address = generate(model="dall-e-2", size="256x256", n=2)
    assert [(item["type"], read(opened(item["file"]))) for item in by_address["data"]] == [
        ("image/png", PROMPT.upper())
    ] * 2
    _, as_file = generate(model="dall-e-2", size="256x256", n=2, response_format="b64_json")
    assert [base64.b64decode(item["b64_json"]) for item in as_file["data"]] == [
        item["file"] for item in by_address["data"]
    ]
    assert "usage" not in as_file


def test_the_same_request_has_the_same_pictures():
    def pictures(**fields):
        return [item["b64_json"] for item in generate(model="gpt-image-1", n=2, **fields)[1]["data"]]

    assert pictures() == pictures()
    assert pictures()[0] not in pictures(size="1536x1024")


@pytest.mark.parametrize(
    ("model", "fields", "said"),
    [
        ("gpt-image-1", {"response_format": "url"}, "Unknown parameter: 'response_format'"),
        ("gpt-image-1", {"guidance_scale": 3}, "Unknown parameter: 'guidance_scale'"),
        ("gpt-image-1", {"size": "512x512"}, "512x512"),
        ("gpt-image-1", {"quality": "hd"}, "hd"),
        ("gpt-image-1", {"output_format": "webp"}, "webp"),
        ("gpt-image-1", {"n": 11}, "'n'"),
        ("dall-e-3", {"n": 2}, "'n'"),
        ("dall-e-2", {"size": "1792x1024"}, "1792x1024"),
        ("picture", {"size": "9999x16"}, "4096"),
        ("picture", {"size": "big"}, "big"),
    ],
)
def test_what_a_family_does_not_take_is_refused(model, fields, said):
    status, answer = generate(model=model, **fields)
    assert status == 400
    assert said in answer["error"]["message"]


def test_a_server_with_models_of_its_own_takes_fields_of_its_own():
    status, answer = generate(
        model="picture", size="320x200", guidance_scale=3, background="sea", response_format="b64_json"
    )
    assert status == 200
    assert opened(base64.b64decode(answer["data"][0]["b64_json"])).size == (320, 200)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("count=1", lambda data: len(data) == 1),
        ("link=ftp%3A%2F%2Fx%2Fy", lambda data: [item["url"] for item in data] == ["ftp://x/y"] * 2),
        ("data=%21%21", lambda data: [item["b64_json"] for item in data] == ["!!"] * 2),
    ],
)
def test_scripts_change_what_is_handed_over(script, expected):
    status, answer = generate(model=f"picture/script/{script}", n=2)
    assert status == 200
    assert expected(answer["data"])


@pytest.mark.parametrize(("usage", "report"), [("none", "missing"), ("null", None)])
def test_usage_is_left_out_or_null(usage, report):
    _, answer = generate(model=f"gpt-image-1/script/usage={usage}")
    assert answer.get("usage", "missing") == report


def test_usage_has_the_figures_of_the_script():
    _, answer = generate(model="gpt-image-1/script/usage=7:3")
    assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == (7, 3)
    _, answer = generate(model="gpt-image-1/script/usage=negative")
    assert answer["usage"]["input_tokens"] < 0


def test_faults_come_as_with_talk():
    model = "gpt-image-1/script/fail=1:503/token=pictures"
    first, second = post("/v1/images/generations", *[{"model": model, "prompt": PROMPT}] * 2)
    assert [first[0], second[0]] == [503, 200]
    assert first[1]["error"]["type"] == "server_error"


def test_a_diffusion_server_paints_a_batch():
    status, answer = paint(width=320, height=200, batch_size=2, n_iter=2, seed=7, cfg_scale=3.5, steps=12)
    assert status == 200
    images = [opened(base64.b64decode(image)) for image in answer["images"]]
    assert [(image.size, read(image)) for image in images] == [((320, 200), PROMPT.upper())] * 4
    assert len({image.convert("RGB").tobytes() for image in images}) == 4
    assert answer["parameters"]["cfg_scale"] == 3.5
    info = json.loads(answer["info"])
    assert info["all_seeds"] == [7, 8, 9, 10]
    assert info["steps"] == 12


def test_a_diffusion_picture_depends_on_how_it_is_made():
    def picture(**fields):
        return paint(width=256, height=256, seed=1, **fields)[1]["images"][0]

    assert picture() == picture()
    assert len({picture(), picture(steps=20), picture(cfg_scale=9), picture(negative_prompt="rain")}) == 4
    # -1 is a seed of chance, which the simulator draws from the request.
    assert paint(seed=-1) == paint(seed=-1)


def test_a_diffusion_server_rounds_to_its_grid_and_refuses_as_it_does():
    _, answer = paint(width=257, height=100)
    assert opened(base64.b64decode(answer["images"][0])).size == (256, 96)
    for fields in ({"width": 4000}, {"batch_size": 0}, {"steps": 0}, {"cfg_scale": "much"}):
        status, answer = paint(**fields)
        assert status == 422
        assert answer["detail"][0]["msg"]


def test_a_diffusion_server_follows_scripts():
    settings = {"override_settings": {"sd_model_checkpoint": "script/status=500"}}
    assert paint(**settings)[0] == 500
    assert paint(**settings)[1]["error"] == "OutOfMemoryError"
    (told,) = post("/sdapi/v1/txt2img", {"prompt": PROMPT, "n_iter": 3}, headers={"x-simulator-script": '{"count": 1}'})
    assert len(told[1]["images"]) == 1


def test_the_official_client_reads_the_pictures():
    async def main():
        simulator = await start_simulator()
        async with openai.AsyncOpenAI(api_key="k", base_url=simulator.url + "/v1") as client:
            made = await client.images.generate(model="gpt-image-1", prompt=PROMPT, n=2)
        await simulator.stop()
        return made

    made = asyncio.run(main())
    assert [read(opened(base64.b64decode(item.b64_json))) for item in made.data] == [PROMPT.upper()] * 2
    assert made.usage.output_tokens == 2 * 1056
