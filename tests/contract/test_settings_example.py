"""`.env.example` names every setting there is, with the default it has."""

from pathlib import Path

from pydantic import SecretStr

from ingest import settings

GROUPS = (
    settings.KafkaSettings,
    settings.RegistrySettings,
    settings.MetaSettings,
    settings.WebhookSettings,
    settings.PagesSettings,
    settings.WorkSettings,
    settings.RetrySettings,
    settings.MappingSettings,
    settings.FormsSettings,
    settings.HealthSettings,
    settings.ConnectSettings,
    settings.AdminSettings,
)
EXAMPLE = Path(__file__).parents[2] / ".env.example"


def shown(default: object) -> str:
    match default:
        case SecretStr():
            return default.get_secret_value()
        case tuple():
            return ",".join(f"{each:g}" for each in default)
        case None:
            return ""
        case _:
            return str(default)


def test_the_example_mirrors_the_settings() -> None:
    expected = {
        name.upper(): "" if field.is_required() else shown(field.default)
        for group in GROUPS
        for name, field in group.model_fields.items()
    }
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    written = dict(line.lstrip("#").split("=", 1) for line in lines if "=" in line)
    assert written == expected


def test_only_what_has_a_default_is_commented_out() -> None:
    required = {name.upper() for group in GROUPS for name, field in group.model_fields.items() if field.is_required()}
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    assert {line.split("=")[0] for line in lines if "=" in line and not line.startswith("#")} == required


def test_no_group_is_forgotten() -> None:
    groups = {item for item in vars(settings).values() if isinstance(item, type) and item.__name__.endswith("Settings")}
    assert {group for group in groups if group.__module__ == settings.__name__} == set(GROUPS)
