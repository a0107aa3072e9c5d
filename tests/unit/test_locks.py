"""The locks of extras lie beside `requirements.lock`: what both pin is the same, and what an extra asks for is pinned."""

import re
import tomllib

from lakehouse.settings import PROJECT_ROOT


def pins(name):
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (PROJECT_ROOT / name).read_text("utf-8"), re.MULTILINE))


def test_the_lock_of_the_extra_fits_what_it_asks_for_and_the_main_one():
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    main, extra = pins("requirements.lock"), pins("infra/requirements-dask.txt")

    assert extra.items() >= {tuple(each.split("==")) for each in project["optional-dependencies"]["dask"]}
    assert {name: main[name] for name in extra.keys() & main.keys()} == {
        name: extra[name] for name in extra.keys() & main.keys()
    }
    assert "dask" not in main
