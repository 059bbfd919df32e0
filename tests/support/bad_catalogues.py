"""Bad catalogues, and the very words that their authors read, without the file's name; None where YAML words it."""

PROVIDER = """providers:
  - {id: acme, format: openai_chat, base_url: 'https://acme.example/v1', api_key: none}
"""
MODEL = """models:
  - slug: acme/one
    pricing: {prompt: 1, completion: 2}
    deployments: [{provider: acme, model: one}]
"""


def model(*lines: str, pricing: str = "{prompt: 1, completion: 2}") -> str:
    """A sound catalogue of one provider and one model, with more lines in the model (from line 6 on)."""
    head = f"models:\n  - slug: acme/one\n    deployments: [{{provider: acme, model: one}}]\n    pricing: {pricing}\n"
    return PROVIDER + head + "".join(f"    {line}\n" for line in lines)


def provider(*lines: str, base_url: str = "https://acme.example/v1", api_key: str = "none") -> str:
    """The same with more lines in the provider (from line 6 on)."""
    head = f"providers:\n  - id: acme\n    format: openai_chat\n    base_url: {base_url}\n    api_key: {api_key}\n"
    return head + "".join(f"    {line}\n" for line in lines) + MODEL


GOLDEN = [
    # Spelling.
    (
        PROVIDER + MODEL.replace("deployments", "deploymnets"),
        [
            "4: models[0] (acme/one): needs `deployments`: at least one provider that serves it",
            "6: unknown key `deploymnets` in models[0] (acme/one); did you mean `deployments`?",
        ],
    ),
    (PROVIDER + MODEL + "modles: []\n", ["7: unknown key `modles`; did you mean `models`?"]),
    (
        model(pricing="{prompt: 1, completion: 2, cached_promt: 0.1}"),
        ["6: unknown key `cached_promt` in models[0] (acme/one).pricing; did you mean `cached_prompt`?"],
    ),
    (
        model("features: [tools, json]"),
        ["7: models[0] (acme/one).features: `json` is not known here; did you mean `json_mode`?"],
    ),
    (
        provider().replace("openai_chat", "openai-chat"),
        ["3: providers[0] (acme).format: the format `openai-chat` is not known; did you mean `openai_chat`?"],
    ),
    (
        provider().replace("openai_chat", "grpc"),
        [
            (
                "3: providers[0] (acme).format: the format `grpc` is not known; it is one of "
                "`anthropic_messages`, `openai_chat`, "
                "`openai_embeddings`, `openai_images`, `openai_responses`, `sdapi`"
            )
        ],
    ),
    (
        PROVIDER + MODEL.replace("provider: acme", "provider: acne"),
        [
            (
                "6: models[0] (acme/one).deployments[0] (acne).provider: the provider `acne` is not among "
                "`providers`; did you mean `acme`?"
            )
        ],
    ),
    (
        provider("on_disconnect: drian"),
        ["6: providers[0] (acme).on_disconnect: 'drian' is none of cancel, cancel_streams, drain"],
    ),
    (
        provider("quirks: {stream_usge: false}"),
        ["6: providers[0] (acme).quirks: unknown quirk `stream_usge`; did you mean `stream_usage`?"],
    ),
    (
        provider("quirks: {stream_usage: maybe}"),
        ["6: providers[0] (acme).quirks.stream_usage: Expected `bool`, got `str`"],
    ),
    (
        provider("timeouts: {idle: 5}"),
        [
            "6: unknown key `idle` in providers[0] (acme).timeouts; did you mean `idle_s`?",
        ],
    ),
    ("extends: defualt\n", ["1: extends: `defualt` is not known here; did you mean `default`?"]),
    (PROVIDER + MODEL + "enable: [acm]\n", ["7: enable: `acm` is not known here; did you mean `acme`?"]),
    (
        model("creator: acme") + "creators:\n  - {slug: acne, name: Acne}\n",
        [
            "7: models[0] (acme/one).creator: the creator `acme` is not among `creators`; did you mean `acne`?",
        ],
    ),
    # Names.
    (
        PROVIDER + PROVIDER.partition("\n")[2] + MODEL,
        ["3: providers[1] (acme).id: `acme` is already defined in line 2"],
    ),
    (
        PROVIDER + MODEL + MODEL.partition("\n")[2],
        ["7: models[1] (acme/one).slug: `acme/one` is already a name of models[0] (acme/one)"],
    ),
    (
        PROVIDER + MODEL + MODEL.partition("\n")[2].replace("acme/one", "acme/two") + "    aliases: [acme/one]\n",
        ["10: models[1] (acme/two).aliases: `acme/one` is already a name of models[0] (acme/one)"],
    ),
    (model("aliases: [one, one]"), ["7: models[0] (acme/one).aliases: names `one` twice"]),
    (
        model("aliases: ['two words']"),
        ["7: models[0] (acme/one).aliases: `two words` cannot be the name of a model"],
    ),
    (
        PROVIDER + MODEL.replace("slug: acme/one", "slug: hpprouter/auto"),
        ["4: models[0] (hpprouter/auto).slug: names that begin with hpprouter/ belong to the gateway"],
    ),
    (
        PROVIDER + MODEL.replace("slug: acme/one", "slug: acme*"),
        ["4: models[0] (acme*).slug: expected a name such as openai/gpt-5 or local/*, not `acme*`"],
    ),
    (
        PROVIDER + MODEL.replace("slug: acme/one", "slug: acme/*"),
        [
            (
                "6: models[0] (acme/*).deployments[0] (acme).model: a wildcard's model has one `*`, where the rest "
                "of the name goes"
            )
        ],
    ),
    (
        PROVIDER + MODEL.replace("model: one", "model: '*'"),
        [
            (
                "6: models[0] (acme/one).deployments[0] (acme).model: only a wildcard (`slug` ends in /*) hands "
                "names on with `*`"
            )
        ],
    ),
    (
        PROVIDER + MODEL.replace("acme/one", "acme/*").replace("model: one", "model: '*'") + "    aliases: [x]\n",
        ["7: models[0] (acme/*).aliases: a wildcard has no aliases"],
    ),
    # Prices.
    (
        PROVIDER + MODEL.replace("    pricing: {prompt: 1, completion: 2}\n", ""),
        [("4: models[0] (acme/one): has no prices; add `pricing`, or `free: true` when nothing of it costs anything")],
    ),
    (
        model("free: true"),
        ["7: models[0] (acme/one).free: is `free: true` and has `pricing`; remove one of them"],
    ),
    (
        model(pricing="{prompt: 0, completion: 0}"),
        ["6: models[0] (acme/one).pricing: every price is 0; say `free: true` in its place"],
    ),
    (
        model(pricing="{prompt: 0.0375001, completion: 2}"),
        [
            (
                "6: models[0] (acme/one).pricing.prompt: 0.0375001 has more than 6 digits after the point; prices "
                "are kept in integers and cannot be finer than a pico-USD per token"
            )
        ],
    ),
    (
        model(pricing="{prompt: 1e-3, completion: -2}"),
        [
            "6: models[0] (acme/one).pricing.prompt: expected a plain decimal number such as 0.25, not '1e-3'",
            "6: models[0] (acme/one).pricing.completion: expected a plain decimal number such as 0.25, not '-2'",
        ],
    ),
    (
        model(pricing="{prompt: 1000001, completion: .inf}"),
        [
            "6: models[0] (acme/one).pricing.prompt: a price of 1000001 USD is above the bound of 1000000",
            ("6: models[0] (acme/one).pricing.completion: expected a plain decimal number such as 0.25, not '.inf'"),
        ],
    ),
    (
        model(pricing="{prompt: 1}"),
        ["6: models[0] (acme/one).pricing: needs `completion` (USD per 1M tokens)"],
    ),
    (
        model(
            pricing="{prompt: 1, completion: 2, tiers: [{above_prompt_tokens: 9, prompt: 1, completion: 1}, "
            "{above_prompt_tokens: 9, prompt: 1, completion: 1}]}"
        ),
        [
            (
                "6: models[0] (acme/one).pricing.tiers[1].above_prompt_tokens: tiers go up: this one has to begin "
                "above the one before it"
            )
        ],
    ),
    (
        model(pricing="{prompt: 1, completion: 2, service_tiers: {flex: {prompt: 1}}}"),
        ["6: models[0] (acme/one).pricing.service_tiers.flex: needs `completion` (USD per 1M tokens)"],
    ),
    (
        model(pricing="{prompt: 1, completion: 2, tiers: [{prompt: 1, completion: 1}]}"),
        ["6: models[0] (acme/one).pricing.tiers[0]: needs `above_prompt_tokens`"],
    ),
    (
        model(pricing="{prompt: 1, completion: 2, tool_fees: {web_search: 0.0000000000001}}"),
        [
            (
                "6: models[0] (acme/one).pricing.tool_fees.web_search: 0.0000000000001 has more than 12 digits after "
                "the point; prices are kept in integers and cannot be finer than a pico-USD"
            )
        ],
    ),
    # Values.
    (
        model("context_length: 128k", "max_output_tokens: 0"),
        [
            ("7: models[0] (acme/one).context_length: expected a whole number of at least 1, digits only, not `128k`"),
            ("8: models[0] (acme/one).max_output_tokens: expected a whole number of at least 1, digits only, not `0`"),
        ],
    ),
    (
        model("release_date: 31.12.2025"),
        ["7: models[0] (acme/one).release_date: expected a date such as 2026-03-31, not `31.12.2025`"],
    ),
    (
        model("unpriced: maybe"),
        ["7: models[0] (acme/one).unpriced: `maybe` is not known here; it is one of `allow`, `refuse`"],
    ),
    (
        model("benchmarks: [{label: X, score: high, source_url: 'https://x.example', tier: main}]"),
        [
            "7: models[0] (acme/one).benchmarks[0] (X).score: expected a number such as 88.4, not `high`",
            (
                "7: models[0] (acme/one).benchmarks[0] (X).tier: `main` is not known here; it is one of `extra`, "
                "`primary`"
            ),
        ],
    ),
    (
        model("benchmarks: [{label: X, score: 1, source_url: 'javascript:alert(1)'}]"),
        [
            (
                "7: models[0] (acme/one).benchmarks[0] (X).source_url: expected an http or https link, not "
                "`javascript:alert(1)`"
            )
        ],
    ),
    (
        PROVIDER + MODEL.replace("model: one}", "model: one, weight: 0, order: -1, demo: yes}"),
        [
            (
                "6: models[0] (acme/one).deployments[0] (acme).order: expected a whole number of at least 0, "
                "digits only, not `-1`"
            ),
            (
                "6: models[0] (acme/one).deployments[0] (acme).weight: expected a whole number of at least 1, "
                "digits only, not `0`"
            ),
            "6: models[0] (acme/one).deployments[0] (acme).demo: expected true or false, not `yes`",
        ],
    ),
    (
        PROVIDER + MODEL.replace("[{provider: acme, model: one}]", "[]"),
        ["6: models[0] (acme/one).deployments: has to name at least one provider"],
    ),
    (
        model("name:", "description: [a]"),
        [
            "7: models[0] (acme/one).name: has no value; give it one or leave the key out",
            "8: models[0] (acme/one).description: expected text, not a list",
        ],
    ),
    (
        "creators: [{slug: acme, name: Acme, brand_color: green}]\n" + PROVIDER + MODEL,
        [
            "1: creators[0] (acme).brand_color: expected a colour such as '#10A37F' (in quotes), not `green`",
        ],
    ),
    (
        model("features: [[tools]]", "free:"),
        [
            "7: models[0] (acme/one).features: entry 0 has to be a text",
            "8: models[0] (acme/one).free: has no value; give it one or leave the key out",
        ],
    ),
    (
        provider(base_url="'https://a cme.example'"),
        ["4: providers[0] (acme).base_url: a URL is printable ASCII without spaces"],
    ),
    ("models: 5\n", ["1: models: expected a list (`- ...`, or `[...]` in one line)"]),
    ("- models\n", ["1: expected keys and values (`key: value`)"]),
    ("models: [gpt-5]\n", ["1: models[0]: expected keys and values (`key: value`)"]),
    (PROVIDER + MODEL + "providers: [acme]\n", ["7: the key `providers` stands here again; it was set in line 1"]),
    # Providers.
    (
        provider(base_url="ftp://acme.example"),
        [("4: providers[0] (acme).base_url: expected a URL that begins with http:// or https:// and names a host")],
    ),
    (
        provider(base_url="https://user:hunter2@acme.example/v1"),
        [
            "4: providers[0] (acme).base_url: a URL must not hold credentials; put the key into `api_key`",
        ],
    ),
    (
        provider(base_url="https://acme.example/v1?key=hunter2"),
        ["4: providers[0] (acme).base_url: a URL must not hold a query or a fragment"],
    ),
    (provider(base_url="https://[acme"), ["4: providers[0] (acme).base_url: this is no URL"]),
    (
        PROVIDER.replace(", api_key: none", "") + MODEL,
        ["2: providers[0] (acme): needs `api_key`: `${NAME}` for an environment variable, or `none`"],
    ),
    (provider(api_key="''"), ["5: providers[0] (acme).api_key: must not be empty"]),
    (
        provider(api_key="sk-${ACME_KEY}"),
        [
            (
                "5: providers[0] (acme).api_key: `${NAME}` has to be the whole value, with a name of letters, "
                "digits and underscores"
            )
        ],
    ),
    (
        provider(api_key="${BROKEN_KEY}"),
        [
            (
                "5: providers[0] (acme).api_key: the environment variable BROKEN_KEY cannot go into a header: it "
                "has to be printable ASCII in one line"
            )
        ],
    ),
    (
        provider('headers: {X-One: "a\\r\\nX-Two: b"}'),
        ["6: providers[0] (acme).headers.X-One: holds a control character"],
    ),
    (
        provider("headers: {Transfer-Encoding: chunked, 'Bad Name': x}"),
        [
            "6: providers[0] (acme).headers.Transfer-Encoding: the gateway sets this header itself; remove it",
            "6: providers[0] (acme).headers: 'Bad Name' is no header name",
        ],
    ),
    (
        provider("headers: {Authorization: x}", api_key="k"),
        [
            (
                "6: providers[0] (acme).headers.Authorization: `api_key` already makes this header; say "
                "`api_key: none` to set it here"
            )
        ],
    ),
    (
        provider("timeouts: {total_s: 0, connect_s: soon}"),
        [
            "6: providers[0] (acme).timeouts.connect_s: expected seconds above 0 and up to 86400, not `soon`",
            "6: providers[0] (acme).timeouts.total_s: expected seconds above 0 and up to 86400, not `0`",
        ],
    ),
    (
        provider("base_url_env: BAD_URL"),
        [
            (
                "6: providers[0] (acme).base_url_env: the environment variable BAD_URL: expected a URL that begins "
                "with http:// or https:// and names a host"
            )
        ],
    ),
    # Plans.
    (
        PROVIDER + MODEL + "plans:\n  - {name: free, token: 1000}\n  - {name: free, tokens: 0, period: week}\n",
        [
            "8: plans[0] (free): needs `tokens`",
            "8: unknown key `token` in plans[0] (free); did you mean `tokens`?",
            "9: plans[1] (free).tokens: expected a whole number of at least 1, digits only, not `0`",
            "9: plans[1] (free).period: `week` is not known here; it is one of `day`, `month`, `total`",
            "9: plans[1] (free).name: `free` is already defined in line 8",
        ],
    ),
    # YAML itself.
    (
        "models: [\n",
        ["2: this is not valid YAML: while parsing a flow node: did not find expected node content"],
    ),
    (
        "models: []\nmodels: []\n",
        ["2: the key `models` stands here again; it was set in line 1"],
    ),
    ("models: []\n---\nmodels: []\n", ["3: a catalogue is one YAML document; this is a second one"]),
    ("a: !!python/object:os.system x\n", None),
    ("models: *nothing\n", None),
]
