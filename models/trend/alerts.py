"""Which alerts the topology's rules raise on an archive of posts, and how many on the same posts at shuffled times.

    python alerts.py --vigie target/release/vigie --alerts target/release/examples/alerts DATA/recorded/posts

DATA holds crawls of subreddits (`reddit_NAME_YEAR-MONTH_part*.tar.gz`, JSON with nested comments). A post counts from FROM on, for each asset that `vigie
model score` finds in it and for `*`. Settings were chosen on one half of the subreddits. Beside each half stands its null, the same posts shuffled: all that is raised there is a false
alarm, while an alert on the real order may be an event or not.
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
import tempfile

FROM = datetime.datetime(2022, 5, 1, tzinfo=datetime.timezone.utc).timestamp()
HALVES = {"tuned on": ["Bitcoin", "BitcoinBeginners"], "reported": ["CoinBase", "CryptoMarkets"]}
DRAWS = 5
DAY = 86400


def comments(posts: list[dict]):
    for post in posts:
        yield post
        yield from comments(post["comments"])


def read(folder: pathlib.Path, subreddit: str) -> list[tuple[float, str]]:
    """Times and texts, each post once, in the order of time."""
    found = {}
    for path in sorted(folder.glob(f"reddit_{subreddit}_*.tar.gz")):
        with tarfile.open(path) as archive:
            for member in filter(tarfile.TarInfo.isfile, archive):
                for post in json.load(archive.extractfile(member))["posts"]:
                    found.setdefault(post["id"], (post["created_utc"], f"{post['title']}. {post.get('selftext') or ''}"))
                    for one in comments(post["comments"]):
                        if "id" in one:
                            found.setdefault(one["id"], (one["created_utc"], one.get("response") or ""))
    rows = ((time, re.sub(r"\s+", " ", text).strip()) for time, text in found.values() if time >= FROM)
    return sorted(row for row in rows if row[1])


def mentions(vigie: str, posts: list[tuple[float, str]]) -> list[tuple[int, str, str]]:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as texts:
        texts.writelines(f"{text}\n" for _, text in posts)
        texts.flush()
        scored = subprocess.run([vigie, "model", "score", texts.name], stdout=subprocess.PIPE, text=True, check=True).stdout
    rows = []
    for (time, _), line in zip(posts, scored.splitlines(), strict=True):
        answer = json.loads(line)
        score = "-" if answer.get("score") is None else f"{answer['score']:.6f}"
        rows += [(int(time), asset, score) for asset in ["*", *(one["asset"] for one in answer["assets"])]]
    return rows


def raised(program: str, rows: list[tuple[int, str, str]]) -> list[list[str]]:
    lines = "".join(f"{time}\t{asset}\t{score}\n" for time, asset, score in sorted(rows))
    out = subprocess.run([program], input=lines, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [line.split("\t") for line in out.splitlines()]


def shuffled(rows: list[tuple[int, str, str]], draw: int) -> list[tuple[int, str, str]]:
    """Each on a day drawn at random, at its own time of day, with the score of another one about its asset."""
    drawn = random.Random(draw)
    first, last = rows[0][0] // DAY, rows[-1][0] // DAY
    scores = collections.defaultdict(list)
    for _, asset, score in rows:
        scores[asset].append(score)
    for own in scores.values():
        drawn.shuffle(own)
    return [(drawn.randint(first, last) * DAY + time % DAY, asset, scores[asset].pop()) for time, asset, _ in rows]


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--vigie", required=True)
    cli.add_argument("--alerts", required=True)
    cli.add_argument("folder", type=pathlib.Path)
    args = cli.parse_args()
    for half, subreddits in HALVES.items():
        posts = sorted(post for subreddit in subreddits for post in read(args.folder, subreddit))
        rows = mentions(args.vigie, posts)
        days = (rows[-1][0] - rows[0][0]) / DAY
        found = raised(args.alerts, rows)
        null = [raised(args.alerts, shuffled(rows, draw)) for draw in range(DRAWS)]
        kinds = collections.Counter((kind, scale) for draw in null for _, _, kind, scale, _, _ in draw)
        assets = len({asset for _, asset, _ in rows})
        print(f"{half}, r/{' and r/'.join(subreddits)}: {len(posts)} posts, {assets} assets, {days:.1f} days: {len(found)} alerts")
        print(f"  at shuffled times, in 30 days: {sum(kinds.values()) / DRAWS * 30 / days:.2f} alerts", *(f"{kind} {int(scale) // 60} min {n / DRAWS * 30 / days:.2f}" for (kind, scale), n in sorted(kinds.items())), sep=", ")
        for end, asset, kind, scale, value, expected in found:
            at = datetime.datetime.fromtimestamp(int(end), datetime.timezone.utc)
            print(f"  {at:%m-%d %H:%M} {asset} {kind} {int(scale) // 60} min: {float(value):g}, usual {float(expected):g}")


if __name__ == "__main__":
    main()
