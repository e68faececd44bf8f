"""Writes `schemas/json/` from the models: `python -m workflow.json_schemas`, after a change of them."""

from schemas.json_schema import generated_files
from workflow.project import SOURCE


def main() -> None:
    folder = SOURCE / "schemas" / "json"
    folder.mkdir(exist_ok=True)
    for name, text in generated_files().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
