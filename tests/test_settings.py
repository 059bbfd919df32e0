"""Settings: defaults, file, environment, flags, and what is refused at start."""

from pathlib import Path

import pytest

from tollhouse.settings import Settings, SettingsError, load_settings


def test_nothing_set_gives_the_defaults() -> None:
    assert load_settings(None, {}, {}) == Settings()


def test_a_flag_beats_the_environment_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tollhouse.yaml"
    file.write_text("port: 1\nhost: file\ndrain_s: 5\ncors_origins: [https://a.example]\n")
    settings = load_settings(file, {"port": "3"}, {"TOLLHOUSE_PORT": "2", "TOLLHOUSE_HOST": "environment"})
    assert (settings.port, settings.host, settings.drain_s) == (3, "environment", 5.0)
    assert settings.cors_origins == ("https://a.example",)


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "tollhouse.yaml"
    file.write_text("workers: 2\n")
    assert load_settings(None, {}, {"TOLLHOUSE_CONFIG": str(file)}).workers == 2


def test_paths_are_read_from_text(tmp_path: Path) -> None:
    settings = load_settings(None, {"catalog": "mine.yaml"}, {"TOLLHOUSE_DATA_DIR": str(tmp_path)})
    assert (settings.data_dir, settings.catalog) == (tmp_path, Path("mine.yaml"))
    file = tmp_path / "tollhouse.yaml"
    file.write_text("data_dir: [1]\n")
    with pytest.raises(SettingsError, match="data_dir"):
        load_settings(file, {}, {})


def test_lists_are_separated_by_commas_in_the_environment() -> None:
    settings = load_settings(None, {}, {"TOLLHOUSE_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.7/32"})
    assert settings.trusted_proxies == ("10.0.0.0/8", "192.0.2.7/32")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot: 1", "there is no setting `prot`. Did you mean `port`?"),
        ("port: 70000", "cannot be used; it takes a whole number from 0 to 65535."),
        ("port: [1]", "port: [1] (from "),
        ("demo: maybe", "it takes true or false"),
        ("log_level: loud", "it takes debug, info, warning or error"),
        ("trusted_proxies: [nowhere]", "it takes a list of networks such as 10.0.0.0/8"),
        ("cors_origins: [app.example]", "it takes origins such as https://app.example"),
        ("cors_origins: [https://app.example/]", "without a path"),
        ("key_prefix: TH", "it takes up to 8 small letters and digits"),
        ("drain_s: .inf", "it takes seconds, above 0 and at most a year"),
        ("port: 70000\nworkers: 0", "workers: 0 (from "),
        ("port: 1\nport: 2", ":2: `port` stands here again; it was set in line 1"),
        ("{port: 1, port: 2}", ":1: `port` stands here again"),
        ("hosts: {a.example: hpp}", "it takes hosts with the API of each, such as router.example.com: hpp_router"),
        ("hosts: {https://a.example: hpp_router}", "'https://a.example' is no host; write a name such as"),
        ("hosts: {'*.example': hpp_router}", "'*.example' is no host"),
        ("hosts: {a.example/v1: hpp_router}", "'a.example/v1' is no host"),
        (
            "hosts: {A.example: hpp_router, a.EXAMPLE.: voltagegpu}",
            "hosts: 'A.example' and 'a.EXAMPLE.' are the same host, and it answers with one API; name it once",
        ),
        ("hosts:\n  a.example: hpp_router\n  a.example: voltagegpu", ":3: `a.example` stands here again"),
        ("- a", "must be a list of `name: value` lines"),
        ("a: [", "is no YAML"),
        ("port: 1\n\tworkers: 2", ":2: is no YAML: found character"),
    ],
)
def test_a_wrong_setting_is_refused_in_words(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "tollhouse.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(file, {}, {})
    assert message in str(caught.value)


def test_hosts_are_pairs_in_the_environment() -> None:
    settings = load_settings(None, {}, {"TOLLHOUSE_HOSTS": "a.example=hpp_router, B.example:8443 = voltagegpu"})
    assert settings.hosts == {"a.example": "hpp_router", "B.example:8443": "voltagegpu"}
    with pytest.raises(SettingsError, match=r"^hosts: 'a' stands there twice; name it once \(from TOLLHOUSE_HOSTS\)"):
        load_settings(None, {}, {"TOLLHOUSE_HOSTS": "a=hpp_router,a=voltagegpu"})
    with pytest.raises(SettingsError, match=r"^hosts: 'a\.example' \(from .*\) cannot be used; it takes hosts with"):
        load_settings(None, {}, {"TOLLHOUSE_HOSTS": "a.example"})


def test_every_setting_says_what_it_takes(tmp_path: Path) -> None:
    file = tmp_path / "tollhouse.yaml"
    for name in Settings.__struct_fields__:
        file.write_text(f"{name}: {{}}")
        with pytest.raises(
            SettingsError, match=rf"^{name}: (?:{{}}|the value) \(from .*\) cannot be used; it takes \S"
        ):
            load_settings(file, {}, {})


def test_a_variable_that_no_setting_reads_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"`TOLLHOUSE_PROT`\. Did you mean `TOLLHOUSE_PORT`"):
        load_settings(None, {}, {"TOLLHOUSE_PROT": "1"})
    assert load_settings(None, {}, {"TOLLHOUSE_PROT": "", "TOLLHOUSE_CONFIG": ""}) == Settings()


def test_what_is_left_empty_in_a_file_counts_as_not_set(tmp_path: Path) -> None:
    file = tmp_path / "tollhouse.yaml"
    file.write_text("host:\ncors_origins: '*'\n")
    assert load_settings(file, {}, {}) == Settings(cors_origins=("*",))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "none.yaml", {}, {})


def test_a_password_is_never_shown() -> None:
    settings = load_settings(None, {}, {"TOLLHOUSE_DATABASE_URL": "postgresql://me:canary%21@db/books"})
    assert settings.database_url is not None
    assert settings.database_url.reveal() == "postgresql://me:canary%21@db/books"
    assert sorted(settings.secrets()) == ["canary!", "canary%21"]
    assert Settings().secrets() == []
    for shown in (repr(settings), str(settings), repr(settings.database_url), f"{settings.database_url}"):
        assert "canary" not in shown
    with pytest.raises(SettingsError, match=r"^database_url: the value \(from TOLLHOUSE_DATABASE_URL\)") as caught:
        load_settings(None, {}, {"TOLLHOUSE_DATABASE_URL": "mysql://me:canary@db/books"})
    assert "canary" not in str(caught.value)
