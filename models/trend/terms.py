"""Which terms rise in an archive of posts, when they were reported first, and how many rise in the same posts at shuffled times.

    python terms.py --terms target/release/examples/terms DATA/recorded/posts

DATA holds crawls of subreddits, as for alerts.py, and so do the halves: constants were chosen on the first. Posts count from FROM on. At shuffled times a
post keeps its time of day and gets a day at random: all that is reported there is false, while a term that is reported in the real order may be an event or not.
"""

import argparse
import collections
import datetime
import json
import pathlib
import random
import re
import subprocess
import tarfile

from alerts import DAY, FROM, HALVES, comments

DRAWS = 5
# The peg of UST broke for the first time on 7 May 2022, some hours before midnight UTC.
ASKED = ["ust", "$ust", "luna", "$luna", "terra", "depeg", "depegged", "peg"]
NOBODY = {"", "[deleted]", "[removed]"}


def read(folder: pathlib.Path, subreddits: list[str]) -> list[tuple[int, str, str]]:
    """Times, authors and texts, each post once, in the order of time."""
    found = {}
    paths = [path for name in subreddits for path in sorted(folder.glob(f"reddit_{name}_*.tar.gz"))]
    for path in paths:
        with tarfile.open(path) as archive:
            for member in filter(tarfile.TarInfo.isfile, archive):
                for post in json.load(archive.extractfile(member))["posts"]:
                    for one in comments([post]):
                        if "id" in one:
                            text = f"{one['title']}. {one.get('selftext') or ''}" if one is post else one.get("response") or ""
                            found.setdefault(one["id"], (int(one["created_utc"]), one.get("author") or "", text))
    rows = ((time, author, re.sub(r"\s+", " ", text).strip()) for time, author, text in found.values() if time >= FROM)
    return sorted((time, "" if author in NOBODY else author, text) for time, author, text in rows if text and text not in NOBODY)


def reported(program: str, rows: list[tuple[int, str, str]]) -> tuple[list[list[str]], str]:
    lines = "".join(f"{time}\t{author}\t{text}\n" for time, author, text in sorted(rows))
    out = subprocess.run([program], input=lines, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in out.stdout.splitlines()], out.stderr


def shuffled(rows: list[tuple[int, str, str]], draw: int) -> list[tuple[int, str, str]]:
    drawn = random.Random(draw)
    first, last = rows[0][0] // DAY, rows[-1][0] // DAY
    return [(drawn.randint(first, last) * DAY + time % DAY, author, text) for time, author, text in rows]


def utc(seconds: str) -> str:
    return f"{datetime.datetime.fromtimestamp(int(seconds), datetime.UTC):%d %b %H:%M}"


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--terms", required=True, help="the example `terms` of the processors")
    cli.add_argument("--draws", type=int, default=DRAWS)
    cli.add_argument("--all", action="store_true", help="list every term that was reported")
    cli.add_argument("folder", type=pathlib.Path)
    options = cli.parse_args()
    for half, subreddits in HALVES.items():
        rows = read(options.folder, subreddits)
        days = rows[-1][0] // DAY - rows[0][0] // DAY + 1
        found, cost = reported(options.terms, rows)
        print(f"## {half}: {', '.join(subreddits)}, {len(rows)} posts of {days} days\n\n{cost}")
        nulls = [reported(options.terms, shuffled(rows, draw))[0] for draw in range(options.draws)]
        for hours in ["1", "24"]:
            of = [row for row in found if row[2] == hours]
            false = [sum(row[2] == hours for row in null) for null in nulls]
            by_day = collections.Counter(int(row[1]) // DAY for row in of)
            peak = f", {max(by_day.values())} on the day with the most" if by_day else ""
            print(f"windows of {hours} h: {len(of)} reported, {len(of) / days:.2f} a day{peak}; at shuffled times {sum(false) / len(nulls) / days:.2f} a day ({false})")
            first = {}
            for row in sorted(of, key=lambda row: int(row[0])):
                first.setdefault(row[3], row)
            for row in first.values():
                if options.all or set(row[3].split(" ")) & set(ASKED):
                    print(f"  {row[3]!r} reported {utc(row[0])} of the window {utc(row[1])}: {row[4]} of {row[5]} authors, expected {row[7]}, significance {row[6]}")
        print()


if __name__ == "__main__":
    main()
