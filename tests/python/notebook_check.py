"""Runs the cells of clients/python/analyst.ipynb in order, against an API with the rows of api/tests/api/contract.rs."""

import json
import pathlib
import sys

CLIENT = pathlib.Path(__file__).parents[2] / "clients/python"
sys.path.insert(0, str(CLIENT / "src"))

said = {}
for cell in json.loads((CLIENT / "analyst.ipynb").read_text(encoding="utf-8"))["cells"]:
    if cell["cell_type"] == "code":
        exec("".join(cell["source"]), said)

assert said["lost"] in ("BTC", "ETH"), said["lost"]
assert len(said["why"]) == 5 and said["series"].posts.sum() > 0, (said["why"], said["series"])
assert len(said["posts"]) == 450 and said["posts"].post_id.is_unique, said["posts"]
assert said["now"].posts.sum() > 0, said["now"]
