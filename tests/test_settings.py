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
        ("port: 70000", "port: Expected `int` <= 65535"),
        ("port: [1]", "port: Expected `int`, got `array`"),
        ("log_level: loud", "log_level: Invalid enum value 'loud'"),
        ("trusted_proxies: [nowhere]", "trusted_proxies: 'nowhere' is no network"),
        ("key_prefix: TH", "key_prefix: Expected `str` matching regex"),
        ("- a", "must be a list of `name: value` lines"),
        ("a: [", "is no YAML"),
    ],
)
def test_a_wrong_setting_is_refused_in_words(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "tollhouse.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(file, {}, {})
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "none.yaml", {}, {})
